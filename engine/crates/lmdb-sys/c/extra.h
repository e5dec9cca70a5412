/* What MDB_env holds besides. Included in mdb.c before its definition. */

#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Authenticates the first bytes of a meta page. With `make` it writes the MAC, else it returns 0 if the MAC is right. */
typedef int lumo_mac_func(void *context, const void *meta, size_t length, void *mac, int make);

/* The most that a MAC may take, and room for a meta page's first bytes with one. */
#define LUMO_MAC_MAX 64
#define LUMO_META_SIZE (PAGEHDRSZ + sizeof(MDB_meta))
typedef union lumo_image {
	MDB_page page;
	char bytes[PAGEHDRSZ + sizeof(MDB_meta) + LUMO_MAC_MAX];
} lumo_image;

/* What MDB_env holds besides: see the field me_lumo. */
struct lumo_extra {
	size_t shift;              /* where in the file LMDB's page 0 is */
	size_t cache_limit;        /* bytes of clear pages that are kept, but for those in use */
	lumo_mac_func *mac;
	void *mac_context;
	unsigned mac_size;
	lumo_image good[NUM_METAS]; /* meta pages that had the right MAC; guarded by me_rpmutex */
	mdb_size_t damaged_pgno;   /* the last page that could not be used, and how many there were */
	mdb_size_t damages;
};

#define LUMO_DEFAULT_CACHE ((size_t)64 << 20)
