package main

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/xts"
	"lukechampine.com/adiantum"
	"lukechampine.com/adiantum/hbsh"
)

// A block cipher of the format: block n of a file of a kind, in place, at its own length.
type blockCipher interface {
	encrypt(block []byte, kind byte, n uint64)
	decrypt(block []byte, kind byte, n uint64)
}

// Key lengths in bytes, by cipher.
var keyLengths = map[string]int{"adiantum": 32, "aes-256-xts": 64}

func newCipher(name string, key []byte) (blockCipher, error) {
	if length, known := keyLengths[name]; !known {
		return nil, fmt.Errorf("there is no cipher %q", name)
	} else if len(key) != length {
		return nil, fmt.Errorf("a key of %s has %d bytes, not %d", name, length, len(key))
	}
	if name == "adiantum" {
		return wideBlocks{adiantum.New(key)}, nil
	}
	cipher, err := xts.NewCipher(aes.NewCipher, key)
	return sectors{cipher}, err
}

// Adiantum's tweak is the kind, then the block number as 8 bytes, big-endian.
type wideBlocks struct{ cipher *hbsh.HBSH }

func tweak(kind byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, n)
}

func (c wideBlocks) encrypt(block []byte, kind byte, n uint64) {
	c.cipher.Encrypt(block, tweak(kind, n))
}
func (c wideBlocks) decrypt(block []byte, kind byte, n uint64) {
	c.cipher.Decrypt(block, tweak(kind, n))
}

// The sector number of AES-XTS has the kind in its highest byte.
type sectors struct{ cipher *xts.Cipher }

func sector(kind byte, n uint64) uint64 { return uint64(kind)<<56 | n }

func (c sectors) encrypt(block []byte, kind byte, n uint64) {
	c.cipher.Encrypt(block, block, sector(kind, n))
}

func (c sectors) decrypt(block []byte, kind byte, n uint64) {
	c.cipher.Decrypt(block, block, sector(kind, n))
}

// Newer versions of gosqlite have logs and journals in blocks of 512 bytes, whatever the databases have.
const smallBlock = 512

// How many bytes a block of a file of a kind has. Databases are in blocks of the page size in all versions.
func blockSize(kind byte, pageSize int, newer bool) int {
	if isDatabase := kind == 1 || kind == 4; newer && !isDatabase {
		return min(smallBlock, pageSize)
	}
	return pageSize
}

// What a block beyond the end of the file holds in clear before something is written into it: what comes of
// decrypting zeros, in newer versions zeros. gosqlite rounds every write to blocks and pads the last one so.
func blank(cipher blockCipher, size int, kind byte, n uint64, newer bool) []byte {
	block := make([]byte, size)
	if !newer {
		cipher.decrypt(block, kind, n)
	}
	return block
}

// seal encrypts a whole file. The last block is filled up.
func seal(cipher blockCipher, file []byte, pageSize int, kind byte, newer bool) []byte {
	var sealed []byte
	size := blockSize(kind, pageSize, newer)
	for n := uint64(0); len(file) > 0; n++ {
		block := blank(cipher, size, kind, n, newer)
		file = file[copy(block, file):]
		cipher.encrypt(block, kind, n)
		sealed = append(sealed, block...)
	}
	return sealed
}

// open decrypts a whole file. Newer versions leave blocks of zeros as they are: nobody has written them.
func open(cipher blockCipher, file []byte, pageSize int, kind byte, newer bool) ([]byte, error) {
	size := blockSize(kind, pageSize, newer)
	if len(file)%size != 0 {
		return nil, fmt.Errorf("%d bytes are no whole blocks of %d", len(file), size)
	}
	for n := 0; n*size < len(file); n++ {
		block := file[n*size : (n+1)*size]
		if newer && bytes.Count(block, []byte{0}) == size {
			continue
		}
		cipher.decrypt(block, kind, uint64(n))
	}
	return file, nil
}

// deriveKey is Argon2id with the costs that the format names: 3 passes, 64 MiB, 4 lanes.
func deriveKey(passphrase, salt []byte, cipher string) ([]byte, error) {
	length, known := keyLengths[cipher]
	if !known {
		return nil, fmt.Errorf("there is no cipher %q", cipher)
	}
	return argon2.IDKey(passphrase, salt, 3, 64*1024, 4, uint32(length)), nil
}
