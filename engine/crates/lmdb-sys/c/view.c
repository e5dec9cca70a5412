/* A transaction's view of the cache in cache.c, and what callers may ask and set. */

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
