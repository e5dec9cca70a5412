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

/* ---- a transaction's view ---- */

static lumo_view *
lumo_view_new(void)
{
	lumo_view *view = calloc(1, sizeof(*view));
	if (!view)
		return NULL;
	view->bits = LUMO_VIEW_BITS;
	if (!(view->slots = calloc((size_t)1 << view->bits, sizeof(*view->slots)))) {
		free(view);
		return NULL;
	}
	return view;
}

static int
lumo_view_used(MDB_txn *txn)
{
	return txn->mt_rpages->used != 0;
}

/* The page's slot, or the free one where it belongs. */
static lumo_slot *
lumo_slot_of(lumo_view *view, pgno_t pgno)
{
	unsigned mask = (1u << view->bits) - 1, i = lumo_hash(pgno, view->bits);
	while (view->slots[i].pgno && view->slots[i].pgno != pgno)
		i = (i + 1) & mask;
	return &view->slots[i];
}

/* Lets go of what is in a slot. Wants me_rpmutex if there is a page. */
static void
lumo_drop(MDB_env *env, lumo_view *view, lumo_slot *slot)
{
	if (slot->page) {
		lumo_page **kept = NULL;
		if (slot->refs)
			kept = realloc(view->kept, (view->kept_len + 1) * sizeof(*kept));
		if (kept) {
			view->kept = kept;
			kept[view->kept_len++] = slot->page;
		} else if (!slot->refs) {
			lumo_unpin(env, slot->page);
		} /* else the pin is never given back: better than a cursor on freed memory */
	}
	slot->page = NULL;
	slot->data = NULL;
	slot->refs = 0;
	slot->doubtful = 0;
}

/* Gives the view a table with 2^bits slots. With `shed`, only what is in use or was lately comes along. */
static int
lumo_rebuild(MDB_env *env, lumo_view *view, unsigned bits, int shed)
{
	lumo_slot *old = view->slots, *fresh = calloc((size_t)1 << bits, sizeof(*fresh));
	unsigned i, len = 1u << view->bits;
	if (!fresh)
		return ENOMEM;
	view->slots = fresh;
	view->bits = bits;
	view->used = 0;
	if (shed)
		pthread_mutex_lock(&env->me_rpmutex);
	for (i = 0; i < len; i++) {
		if (!old[i].data)
			continue;
		if (shed && !old[i].refs && view->tick - old[i].tick > LUMO_VIEW_KEEPS) {
			lumo_drop(env, view, &old[i]);
			continue;
		}
		*lumo_slot_of(view, old[i].pgno) = old[i];
		view->used++;
	}
	if (shed) {
		lumo_shrink(env);
		pthread_mutex_unlock(&env->me_rpmutex);
	}
	free(old);
	return 0;
}

/* Room for one more page. */
static int
lumo_make_room(MDB_env *env, lumo_view *view)
{
	lumo_cache *cache = env->me_rpages;
	if (view->used > LUMO_VIEW_KEEPS && !view->hold && ++view->misses % LUMO_SHED_EVERY == 0
		&& cache->bytes > env->me_lumo.cache_limit)
		return lumo_rebuild(env, view, view->bits, 1);
	if (2 * (view->used + 1) > 1u << view->bits)
		return lumo_rebuild(env, view, view->bits + 1, 0);
	return 0;
}

static void
lumo_damaged(MDB_env *env, pgno_t pgno)
{
	pthread_mutex_lock(&env->me_rpmutex);
	env->me_lumo.damaged_pgno = pgno;
	env->me_lumo.damages++;
	pthread_mutex_unlock(&env->me_rpmutex);
}

static int
lumo_fetch(MDB_txn *txn, pgno_t pgno, unsigned count, lumo_slot **ret)
{
	MDB_env *env = txn->mt_env;
	lumo_view *view = txn->mt_rpages;
	lumo_slot *slot = lumo_slot_of(view, pgno);
	lumo_page *page = NULL;
	MDB_page *data = NULL;
	int rc;

	if (!slot->pgno) {
		if ((rc = lumo_make_room(env, view)))
			return rc;
		slot = lumo_slot_of(view, pgno);
	}
	if (env->me_encfunc) {
		if (!(rc = lumo_fetch_clear(env, pgno, count, &page)))
			data = (MDB_page *)page->data;
	} else {
		rc = lumo_fetch_mapped(env, pgno, count, &page, &data);
	}
	/* What was asked for, and nothing of a later time. */
	if (!rc && (data->mp_pgno != pgno || data->mp_txnid > txn->mt_txnid))
		rc = MDB_CORRUPTED;
	if (!rc && page && slot->page == page) {
		/* The doubt was unfounded. */
		pthread_mutex_lock(&env->me_rpmutex);
		lumo_unpin(env, page);
		pthread_mutex_unlock(&env->me_rpmutex);
		slot->doubtful = 0;
		*ret = slot;
		return 0;
	}
	if (rc || slot->data) {
		pthread_mutex_lock(&env->me_rpmutex);
		if (rc && page)
			lumo_unpin(env, page);
		if (slot->data)
			lumo_drop(env, view, slot);
		pthread_mutex_unlock(&env->me_rpmutex);
	}
	if (rc) {
		if (rc == MDB_CRYPTO_FAIL || rc == MDB_CORRUPTED || rc == MDB_BAD_CHECKSUM)
			lumo_damaged(env, pgno);
		return rc;
	}
	if (!slot->pgno)
		view->used++;
	slot->pgno = pgno;
	slot->page = page;
	slot->data = data;
	slot->count = count;
	slot->doubtful = 0;
	*ret = slot;
	return 0;
}

static int
mdb_rpage_get(MDB_txn *txn, pgno_t pgno, int numpgs, MDB_page **ret, MDB_page **enc)
{
	lumo_view *view = txn->mt_rpages;
	lumo_slot *slot;
	int rc;
	if (pgno < NUM_METAS || numpgs < 1)
		return MDB_CORRUPTED;
	slot = lumo_slot_of(view, pgno);
	if (!slot->data || slot->doubtful || slot->count != (unsigned)numpgs) {
		if ((rc = lumo_fetch(txn, pgno, (unsigned)numpgs, &slot)))
			return rc;
	}
	slot->refs++;
	slot->tick = ++view->tick;
	*ret = slot->data;
	if (enc)
		*enc = slot->data; /* mdb_env_incr_dumpfd() wants ciphertext; see its edit */
	return 0;
}

static void
lumo_unref(MDB_txn *txn, MDB_page *mp)
{
	lumo_slot *slot;
	if (IS_SUBP(mp))
		return;
	slot = lumo_slot_of(txn->mt_rpages, mp->mp_pgno);
	if (slot->data == mp && slot->refs)
		slot->refs--;
}

/* The transaction wrote this page to the file. */
static void
lumo_forget(MDB_txn *txn, pgno_t pgno)
{
	lumo_slot *slot = lumo_slot_of(txn->mt_rpages, pgno);
	if (slot->data)
		slot->doubtful = 1;
}

/* The dirty page `dp` was sealed as `encp`. Its buffer becomes the clear page of the cache, so that the next transaction
 * need not open what this one wrote. */
static void
lumo_written(MDB_txn *txn, MDB_page *dp, MDB_page *encp, int numpgs)
{
	MDB_env *env = txn->mt_env;
	size_t size = (size_t)numpgs * env->me_psize, tail = env->me_esumsize;
	lumo_page *page, *there;
	if (numpgs > LUMO_ADOPT_MAX || env->me_lumo.cache_limit < size
		|| !(page = lumo_page_new(env, dp->mp_pgno, numpgs, (char *)dp))) {
		mdb_dpage_free_n(env, dp, numpgs);
		return;
	}
	memcpy(page->data, encp, sizeof(pgno_t) + sizeof(txnid_t));
	memcpy(page->data + size - tail, (char *)encp + size - tail, tail);
	pthread_mutex_lock(&env->me_rpmutex);
	if ((there = lumo_lookup(env->me_rpages, page->pgno)))
		lumo_unlist(env, there);
	lumo_list(env, page);
	lumo_shrink(env);
	pthread_mutex_unlock(&env->me_rpmutex);
}

static void
lumo_view_clear(MDB_txn *txn)
{
	MDB_env *env = txn->mt_env;
	lumo_view *view = txn->mt_rpages;
	unsigned i, len = 1u << view->bits;
	if (view->used || view->kept_len) {
		pthread_mutex_lock(&env->me_rpmutex);
		for (i = 0; i < len; i++)
			if (view->slots[i].page)
				lumo_unpin(env, view->slots[i].page);
		for (i = 0; i < view->kept_len; i++)
			lumo_unpin(env, view->kept[i]);
		lumo_shrink(env);
		pthread_mutex_unlock(&env->me_rpmutex);
	}
	if (view->bits > LUMO_VIEW_BITS + 4) {
		lumo_slot *slots = calloc((size_t)1 << LUMO_VIEW_BITS, sizeof(*slots));
		if (slots) {
			free(view->slots);
			view->slots = slots;
			view->bits = LUMO_VIEW_BITS;
			view->used = 0;
		}
	}
	if (view->used)
		memset(view->slots, 0, ((size_t)1 << view->bits) * sizeof(*view->slots));
	free(view->kept);
	view->kept = NULL;
	view->used = view->tick = view->misses = view->kept_len = 0;
	view->hold = 0;
}

static void
lumo_view_free(MDB_txn *txn)
{
	if (!txn->mt_rpages)
		return;
	free(txn->mt_rpages->slots);
	free(txn->mt_rpages->kept);
	free(txn->mt_rpages);
	txn->mt_rpages = NULL;
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

/* ---- for callers ---- */

typedef struct lumo_cache_info {
	size_t bytes, limit, pages, hits, misses, damages;
	mdb_size_t damaged_pgno;
} lumo_cache_info;

int
lumo_mdb_env_set_shift(MDB_env *env, size_t shift)
{
	if (env->me_flags & MDB_ENV_ACTIVE || shift % 65536)
		return EINVAL;
	env->me_lumo.shift = shift;
	return 0;
}

int
lumo_mdb_env_set_cachesize(MDB_env *env, size_t bytes)
{
	if (env->me_flags & MDB_ENV_ACTIVE || !bytes)
		return EINVAL;
	env->me_lumo.cache_limit = bytes;
	return 0;
}

int
lumo_mdb_env_set_metamac(MDB_env *env, lumo_mac_func *mac, void *context, unsigned size)
{
	if (env->me_flags & MDB_ENV_ACTIVE || !mac || !size || size > LUMO_MAC_MAX)
		return EINVAL;
	env->me_lumo.mac = mac;
	env->me_lumo.mac_context = context;
	env->me_lumo.mac_size = size;
	return 0;
}

/* From now on nothing that this transaction reads goes before it ends, or writes. */
void
lumo_mdb_txn_hold(MDB_txn *txn)
{
	if (txn->mt_rpages)
		txn->mt_rpages->hold = 1;
}

int
lumo_mdb_env_cacheinfo(MDB_env *env, lumo_cache_info *info)
{
	lumo_cache *cache = env->me_rpages;
	memset(info, 0, sizeof(*info));
	if (!cache)
		return EINVAL;
	pthread_mutex_lock(&env->me_rpmutex);
	info->bytes = cache->bytes;
	info->limit = env->me_lumo.cache_limit;
	info->pages = cache->pages;
	info->hits = cache->hits;
	info->misses = cache->misses;
	info->damages = env->me_lumo.damages;
	info->damaged_pgno = env->me_lumo.damaged_pgno;
	pthread_mutex_unlock(&env->me_rpmutex);
	return 0;
}
