/* The cache of clear pages, in place of mdb.c's own.
 *
 * Two levels. The environment has a table of clear pages, bounded in bytes, shared by all transactions. A transaction
 * has a view: the pages that it uses, each pinned until the transaction ends or sheds it.
 *
 * What must hold:
 * - A clear page is used only while the header and the tail that it was opened with are those in the file. The tail has a
 *   random nonce, so they are different whenever the page was written again. Compared once per transaction and page, and
 *   anew after the transaction itself wrote the page.
 * - A buffer is filled before anybody else can see it and never again. A page that was replaced in the file gets another
 *   buffer; the old one goes with the last transaction that has it pinned.
 * - A page is what was asked for: its number, no later transaction, as many pages.
 * - Clear bytes are wiped before their memory is freed.
 *
 * Without encryption the pages are used where they are mapped; then the view only remembers what was checked. */

/* Bytes of the file that are mapped at once. */
#define LUMO_WINDOW ((size_t)1 << 26)
/* Pages that a view keeps whatever happens: more than any operation of LMDB has in its hands. */
#define LUMO_VIEW_KEEPS 1024
/* Misses between two attempts to shed. */
#define LUMO_SHED_EVERY 256
/* Pages in use that are passed over for one that comes in. */
#define LUMO_SHRINK_STEPS 64
/* Larger extents are not kept when they are written: they would push out everything else. */
#define LUMO_ADOPT_MAX 16
/* Buffers of dirty pages that the environment keeps for the next transaction. */
#define LUMO_SPARE_PAGES 1024

/* mdb_env_copyfd0() and mdb_env_incr_dumpfd() expect these. */
#define SET_OFF(off, val) off = val
#define ADD_OFF(off, val) off += val
#define MAP(rc, env, addr, len, off) \
	do { \
		addr = mmap(NULL, len, PROT_READ, MAP_SHARED, env->me_fd, off); \
		rc = (void *)addr == MAP_FAILED ? errno : 0; \
	} while (0)

typedef struct lumo_page {
	struct lumo_page *next;         /* in the same bucket */
	struct lumo_page *left, *right; /* in the ring that the hand goes round */
	pgno_t pgno;
	unsigned count;                 /* pages; more than one for an extent */
	unsigned pins;                  /* views that have it */
	char listed;                    /* in the table, else it goes with its last pin */
	char hot;                       /* used since the hand came by */
	char *data;
} lumo_page;

typedef struct lumo_cache {
	lumo_page **buckets;
	unsigned bits;
	size_t pages, bytes, hits, misses;
	lumo_page ring;                 /* the hand is at ring.right */
	char **windows;
	size_t windows_len;
	mdb_size_t known;               /* bytes that the file has at least */
} lumo_cache;

typedef struct lumo_slot {
	pgno_t pgno;                    /* 0: free */
	MDB_page *data;                 /* NULL: nothing */
	lumo_page *page;                /* the pinned page behind data, if it is not mapped */
	unsigned count;
	unsigned refs;                  /* LMDB's own count of cursors that are at it; not exact */
	unsigned tick;                  /* when it was last asked for */
	char doubtful;                  /* written since: compare anew */
} lumo_slot;

typedef struct lumo_view {
	lumo_slot *slots;
	unsigned bits, used, tick, misses;
	int hold;                       /* shed nothing: somebody has addresses of values */
	lumo_page **kept;               /* replaced while a cursor may have been at them */
	unsigned kept_len;
} lumo_view;

#define LUMO_VIEW_BITS 4
#define LUMO_CACHE_BITS 12

static unsigned
lumo_hash(pgno_t pgno, unsigned bits)
{
	return (unsigned)(((uint64_t)pgno * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - bits));
}

static void *(*const volatile lumo_memset)(void *, int, size_t) = memset;

static void
lumo_wipe(void *data, size_t size)
{
	if (data)
		lumo_memset(data, 0, size);
}

/* ---- pages ---- */

static void
lumo_page_free(MDB_env *env, lumo_page *page)
{
	lumo_wipe(page->data, (size_t)page->count * env->me_psize);
	free(page->data);
	free(page);
}

static lumo_page *
lumo_page_new(MDB_env *env, pgno_t pgno, unsigned count, char *data)
{
	lumo_page *page = calloc(1, sizeof(*page));
	if (page && !data)
		data = malloc((size_t)count * env->me_psize);
	if (!page || !data) {
		free(page);
		return NULL;
	}
	page->pgno = pgno;
	page->count = count;
	page->data = data;
	return page;
}

/* The functions from here to lumo_shrink() want me_rpmutex. */

static lumo_page *
lumo_lookup(lumo_cache *cache, pgno_t pgno)
{
	lumo_page *page = cache->buckets[lumo_hash(pgno, cache->bits)];
	while (page && page->pgno != pgno)
		page = page->next;
	return page;
}

static void
lumo_unlist(MDB_env *env, lumo_page *page)
{
	lumo_cache *cache = env->me_rpages;
	lumo_page **link = &cache->buckets[lumo_hash(page->pgno, cache->bits)];
	while (*link != page)
		link = &(*link)->next;
	*link = page->next;
	page->left->right = page->right;
	page->right->left = page->left;
	page->listed = 0;
	cache->pages--;
	cache->bytes -= (size_t)page->count * env->me_psize;
	if (!page->pins)
		lumo_page_free(env, page);
}

static void
lumo_unpin(MDB_env *env, lumo_page *page)
{
	if (--page->pins)
		return;
	if (!page->listed)
		lumo_page_free(env, page);
	else if (env->me_rpages->bytes > env->me_lumo.cache_limit)
		lumo_unlist(env, page);
}

static void
lumo_grow(lumo_cache *cache)
{
	unsigned bits = cache->bits + 1, i;
	lumo_page **buckets = calloc((size_t)1 << bits, sizeof(*buckets)), *page, *next;
	if (!buckets)
		return; /* slower, that is all */
	for (i = 0; i < 1u << cache->bits; i++) {
		for (page = cache->buckets[i]; page; page = next) {
			lumo_page **bucket = &buckets[lumo_hash(page->pgno, bits)];
			next = page->next;
			page->next = *bucket;
			*bucket = page;
		}
	}
	free(cache->buckets);
	cache->buckets = buckets;
	cache->bits = bits;
}

static void
lumo_list(MDB_env *env, lumo_page *page)
{
	lumo_cache *cache = env->me_rpages;
	lumo_page **bucket;
	if (cache->pages >= (size_t)1 << cache->bits && cache->bits < 28)
		lumo_grow(cache);
	bucket = &cache->buckets[lumo_hash(page->pgno, cache->bits)];
	page->next = *bucket;
	*bucket = page;
	page->left = cache->ring.left;
	page->right = &cache->ring;
	page->left->right = page->right->left = page;
	page->listed = 1;
	cache->pages++;
	cache->bytes += (size_t)page->count * env->me_psize;
}

/* Lets go of pages that nobody uses until the limit is kept, or too many were in use or lately. */
static void
lumo_shrink(MDB_env *env)
{
	lumo_cache *cache = env->me_rpages;
	unsigned steps = LUMO_SHRINK_STEPS;
	while (cache->bytes > env->me_lumo.cache_limit && steps--) {
		lumo_page *page = cache->ring.right;
		if (page == &cache->ring)
			return;
		if (!page->pins && !page->hot) {
			lumo_unlist(env, page);
			steps++;
			continue;
		}
		page->hot = 0;
		page->left->right = page->right;
		page->right->left = page->left;
		page->left = cache->ring.left;
		page->right = &cache->ring;
		page->left->right = page->right->left = page;
	}
}

/* ---- the file ---- */

static int
lumo_window(MDB_env *env, size_t index, char **address)
{
	lumo_cache *cache = env->me_rpages;
	if (index >= cache->windows_len) {
		size_t len = index + 16;
		char **windows = realloc(cache->windows, len * sizeof(*windows));
		if (!windows)
			return ENOMEM;
		memset(windows + cache->windows_len, 0, (len - cache->windows_len) * sizeof(*windows));
		cache->windows = windows;
		cache->windows_len = len;
	}
	if (!cache->windows[index]) {
		void *map = mmap(NULL, LUMO_WINDOW, PROT_READ, MAP_SHARED, env->me_fd, (off_t)(index * LUMO_WINDOW));
		if (map == MAP_FAILED)
			return errno;
		if (env->me_flags & MDB_NORDAHEAD)
			(void)madvise(map, LUMO_WINDOW, MADV_RANDOM);
		cache->windows[index] = map;
	}
	*address = cache->windows[index];
	return 0;
}

/* Where pages are mapped: the first byte of the first, and the last page. Wants me_rpmutex. */
static int
lumo_locate(MDB_env *env, pgno_t pgno, unsigned count, char **first, char **last)
{
	lumo_cache *cache = env->me_rpages;
	mdb_size_t at, end;
	int rc;
	if (pgno < NUM_METAS || pgno >= MDB_SIZE_MAX / 2 / env->me_psize - count)
		return MDB_CORRUPTED;
	at = pgno * env->me_psize;
	end = at + (mdb_size_t)count * env->me_psize;
	if (end > cache->known) {
		/* A read behind the end of the file would be a SIGBUS. */
		if ((rc = lumo_file_size(env, env->me_fd, &cache->known)))
			return rc;
		if (end > cache->known)
			return MDB_CORRUPTED;
	}
	if ((rc = lumo_window(env, at / LUMO_WINDOW, first)))
		return rc;
	*first += at % LUMO_WINDOW;
	at = end - env->me_psize;
	if ((rc = lumo_window(env, at / LUMO_WINDOW, last)))
		return rc;
	*last += at % LUMO_WINDOW;
	return 0;
}

/* Maps pages that are in two windows. */
static int
lumo_map_whole(MDB_env *env, pgno_t pgno, unsigned count, char **map, char **first, size_t *size)
{
	mdb_size_t at = pgno * env->me_psize, begin = at - at % 65536;
	*size = at - begin + (size_t)count * env->me_psize;
	*map = mmap(NULL, *size, PROT_READ, MAP_SHARED, env->me_fd, (off_t)begin);
	if (*map == MAP_FAILED)
		return errno;
	*first = *map + (at - begin);
	return 0;
}

static int
lumo_same(MDB_env *env, lumo_page *page, unsigned count, const char *first, const char *last)
{
	size_t tail = env->me_esumsize;
	return page->count == count && !memcmp(page->data, first, sizeof(pgno_t) + sizeof(txnid_t))
		&& !memcmp(page->data + (size_t)count * env->me_psize - tail, last + env->me_psize - tail, tail);
}

static int
lumo_open(MDB_env *env, lumo_page *page, char *sealed)
{
	MDB_val in, out, keys[3];
	size_t head = sizeof(pgno_t) + sizeof(txnid_t), tail = env->me_esumsize;
	size_t size = (size_t)page->count * env->me_psize;
	memcpy(page->data, sealed, head);
	in.mv_size = out.mv_size = size - head - tail;
	in.mv_data = sealed + head;
	out.mv_data = page->data + head;
	keys[0] = env->me_enckey;
	keys[1].mv_size = head;
	keys[1].mv_data = page->data;
	keys[2].mv_size = tail;
	keys[2].mv_data = sealed + size - tail;
	if (env->me_encfunc(&in, &out, keys, 0))
		return MDB_CRYPTO_FAIL;
	memcpy(page->data + size - tail, sealed + size - tail, tail);
	return 0;
}

/* The clear page, pinned. */
static int
lumo_fetch_clear(MDB_env *env, pgno_t pgno, unsigned count, lumo_page **ret)
{
	lumo_cache *cache = env->me_rpages;
	lumo_page *page = NULL, *there;
	char *first, *last, *map = NULL;
	size_t size = 0;
	int rc;

	pthread_mutex_lock(&env->me_rpmutex);
	rc = lumo_locate(env, pgno, count, &first, &last);
	if (!rc && (there = lumo_lookup(cache, pgno)) && lumo_same(env, there, count, first, last)) {
		there->pins++;
		there->hot = 1;
		cache->hits++;
		pthread_mutex_unlock(&env->me_rpmutex);
		*ret = there;
		return 0;
	}
	pthread_mutex_unlock(&env->me_rpmutex);
	if (rc)
		return rc;

	/* Opened without the mutex, so that threads do it at the same time. */
	if (first + (size_t)(count - 1) * env->me_psize != last
		&& (rc = lumo_map_whole(env, pgno, count, &map, &first, &size)))
		return rc;
	if (!(page = lumo_page_new(env, pgno, count, NULL)))
		rc = ENOMEM;
	else if ((rc = lumo_open(env, page, first)))
		lumo_page_free(env, page);
	if (map)
		munmap(map, size);
	if (rc)
		return rc;

	pthread_mutex_lock(&env->me_rpmutex);
	cache->misses++;
	there = lumo_lookup(cache, pgno);
	if (there && lumo_same(env, there, count, page->data, page->data + (size_t)(count - 1) * env->me_psize)) {
		lumo_page_free(env, page);
		page = there;
	} else {
		if (there)
			lumo_unlist(env, there);
		lumo_list(env, page);
	}
	page->pins++;
	page->hot = 1;
	lumo_shrink(env);
	pthread_mutex_unlock(&env->me_rpmutex);
	*ret = page;
	return 0;
}

/* The page where it is mapped, or a copy if it is in two windows. */
static int
lumo_fetch_mapped(MDB_env *env, pgno_t pgno, unsigned count, lumo_page **ret, MDB_page **data)
{
	lumo_page *page;
	char *first, *last, *map;
	size_t size;
	int rc;
	pthread_mutex_lock(&env->me_rpmutex);
	rc = lumo_locate(env, pgno, count, &first, &last);
	pthread_mutex_unlock(&env->me_rpmutex);
	if (rc)
		return rc;
	if (first + (size_t)(count - 1) * env->me_psize != last) {
		if ((rc = lumo_map_whole(env, pgno, count, &map, &first, &size)))
			return rc;
		if ((page = lumo_page_new(env, pgno, count, NULL))) {
			page->pins = 1;
			memcpy(page->data, first, (size_t)count * env->me_psize);
			first = page->data;
			*ret = page;
		}
		munmap(map, size);
		if (!page)
			return ENOMEM;
	}
	*data = (MDB_page *)first;
	return env->me_sumfunc ? mdb_page_chk_checksum(env, *data, (size_t)count * env->me_psize) : 0;
}

/* ---- the environment's ---- */

static lumo_cache *
lumo_cache_new(MDB_env *env)
{
	lumo_cache *cache = calloc(1, sizeof(*cache));
	if (!cache)
		return NULL;
	cache->bits = LUMO_CACHE_BITS;
	if (!(cache->buckets = calloc((size_t)1 << cache->bits, sizeof(*cache->buckets)))) {
		free(cache);
		return NULL;
	}
	cache->ring.left = cache->ring.right = &cache->ring;
	if (!env->me_lumo.cache_limit)
		env->me_lumo.cache_limit = LUMO_DEFAULT_CACHE;
	return cache;
}

static void
lumo_cache_free(MDB_env *env)
{
	lumo_cache *cache = env->me_rpages;
	size_t i;
	if (!cache)
		return;
	while (cache->ring.right != &cache->ring) {
		cache->ring.right->pins = 0;
		lumo_unlist(env, cache->ring.right);
	}
	for (i = 0; i < cache->windows_len; i++)
		if (cache->windows[i])
			munmap(cache->windows[i], LUMO_WINDOW);
	free(cache->windows);
	free(cache->buckets);
	free(cache);
	env->me_rpages = NULL;
}

/* Buffers of dirty pages are kept for the next transaction, but not for ever as many as the largest one had. */
static void
lumo_trim(MDB_env *env)
{
	MDB_page *dp = env->me_dpages, *next;
	unsigned kept = 0;
	while (dp && ++kept < LUMO_SPARE_PAGES)
		dp = dp->mp_next;
	if (!dp)
		return;
	next = dp->mp_next;
	dp->mp_next = NULL;
	while ((dp = next)) {
		next = dp->mp_next;
		lumo_wipe(dp, env->me_psize);
		free(dp);
	}
}
