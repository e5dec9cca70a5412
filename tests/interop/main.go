// Interop is an independent implementation, in Go, of the format that gosqlite's vfs/crypto writes
// (docs/reference/gosqlite.md): whole files, sealed and opened with the cipher libraries that gosqlite itself uses. It shares no
// code with the engine, and none with gosqlite.
//
//	interop seal   -cipher NAME -page-size N -kind K [-older] IN OUT    key: hexadecimal, on standard input
//	interop open   -cipher NAME -page-size N -kind K [-older] IN OUT    likewise
//	interop derive -cipher NAME -salt HEX                               passphrase: standard input, to its end
package main

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 0 {
		return errors.New("seal, open or derive?")
	}
	flags := flag.NewFlagSet(arguments[0], flag.ContinueOnError)
	name := flags.String("cipher", "adiantum", "adiantum or aes-256-xts")
	pageSize := flags.Int("page-size", 4096, "bytes in a block of a database")
	older := flags.Bool("older", false, "logs are in such blocks, too, and not in blocks of 512 bytes")
	kind := flags.Int("kind", 1, "1 main database, 2 its journal, 3 WAL, 4 temporary database, 5 its journal, 6 statement journal")
	salt := flags.String("salt", "", "hexadecimal")
	if err := flags.Parse(arguments[1:]); err != nil {
		return err
	}
	secret, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	switch arguments[0] {
	case "seal", "open":
		if flags.NArg() != 2 || *kind < 1 || *kind > 6 {
			return errors.New("two files and a kind from 1 to 6 are needed")
		}
		cipher, err := keyed(*name, secret)
		if err != nil {
			return err
		}
		return convert(flags.Arg(0), flags.Arg(1), func(file []byte) ([]byte, error) {
			if arguments[0] == "seal" {
				return seal(cipher, file, *pageSize, byte(*kind), !*older), nil
			}
			return open(cipher, file, *pageSize, byte(*kind), !*older)
		})
	case "derive":
		return derive(*name, secret, *salt)
	}
	return fmt.Errorf("there is no command %q", arguments[0])
}

func keyed(name string, secret []byte) (blockCipher, error) {
	key, err := hex.DecodeString(strings.TrimSpace(string(secret)))
	if err != nil {
		return nil, errors.New("the key is not hexadecimal")
	}
	return newCipher(name, key)
}

func convert(in, out string, change func([]byte) ([]byte, error)) error {
	file, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	if file, err = change(file); err != nil {
		return err
	}
	return os.WriteFile(out, file, 0o600)
}

func derive(name string, passphrase []byte, salt string) error {
	bytes, err := hex.DecodeString(salt)
	if err != nil {
		return errors.New("the salt is not hexadecimal")
	}
	key, err := deriveKey(passphrase, bytes, name)
	if err != nil {
		return err
	}
	fmt.Println(hex.EncodeToString(key))
	return nil
}
