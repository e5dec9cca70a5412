/* What the edits bring into mdb.c: the cache of clear pages, meta pages with a MAC, a shifted file.
 *
 * Included in the middle of mdb.c, behind the definition of MDB_env: it sees everything that is private there. */

struct lumo_view;
struct lumo_cache;

/* cache.c and view.c */
static struct lumo_cache *lumo_cache_new(MDB_env *env);
static void lumo_cache_free(MDB_env *env);
static struct lumo_view *lumo_view_new(void);
static void lumo_view_free(MDB_txn *txn);
static void lumo_view_clear(MDB_txn *txn);
static int lumo_view_used(MDB_txn *txn);
static void lumo_unref(MDB_txn *txn, MDB_page *mp);
static void lumo_forget(MDB_txn *txn, pgno_t pgno);
static void lumo_written(MDB_txn *txn, MDB_page *dp, MDB_page *encp, int numpgs);
static void lumo_trim(MDB_env *env);
static void lumo_wipe(void *data, size_t size);

/* meta.c */
static int lumo_read_header(MDB_env *env, int prev, MDB_meta *meta);
static int lumo_meta_mac(MDB_env *env, void *page, int make);
static int lumo_meta_write(MDB_env *env, MDB_meta *meta, int toggle, unsigned flags);
static int lumo_txn_meta(MDB_txn *txn, MDB_meta *meta);
static MDB_meta *lumo_meta_pick(MDB_env *env);

/* LMDB's pages begin `shift` bytes into the file. Every function that does one of these calls has `env`. */
#define LUMO_AT(fd, offset) \
	(((fd) == env->me_fd || (fd) == env->me_mfd) ? (offset) + (off_t)env->me_lumo.shift : (off_t)(offset))
#define pread(fd, buffer, size, offset) pread(fd, buffer, size, LUMO_AT(fd, offset))
#define pwrite(fd, buffer, size, offset) pwrite(fd, buffer, size, LUMO_AT(fd, offset))
#define mmap(address, size, protection, flags, fd, offset) \
	mmap(address, size, protection, flags, fd, LUMO_AT(fd, offset))
#define lseek(fd, offset, whence) lseek(fd, (whence) == SEEK_SET ? LUMO_AT(fd, offset) : (offset), whence)

/* How long the file is from LMDB's page 0 on. */
static int
lumo_file_size(MDB_env *env, HANDLE fd, mdb_size_t *size)
{
	struct stat st;
	size_t shift = fd == env->me_fd ? env->me_lumo.shift : 0;
	if (fstat(fd, &st))
		return errno;
	*size = (mdb_size_t)st.st_size > shift ? st.st_size - shift : 0;
	return 0;
}
