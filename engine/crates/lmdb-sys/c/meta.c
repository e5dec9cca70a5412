/* Meta pages with a MAC, which is in the same write as the page.
 *
 * A meta page counts only if its MAC is right. The newest that counts is the database; LMDB does not use the pages of the
 * one before while it is there, so a meta page that is torn costs what it would have committed and nothing else. */

/* Whether the bytes are a meta page `number` with the right MAC: 0, or why not. */
static int
lumo_meta_check(MDB_env *env, lumo_image *image, pgno_t number)
{
	MDB_meta *meta = METADATA(&image->page);
	if (!F_ISSET(image->page.mp_flags, P_META) || meta->mm_magic != MDB_MAGIC)
		return MDB_INVALID;
	if (meta->mm_version != MDB_DATA_VERSION)
		return MDB_VERSION_MISMATCH;
	if (image->page.mp_pgno != number)
		return MDB_CORRUPTED;
	return lumo_meta_mac(env, image, 0);
}

static int
lumo_meta_mac(MDB_env *env, void *page, int make)
{
	char *mac = (char *)page + LUMO_META_SIZE;
	return env->me_lumo.mac(env->me_lumo.mac_context, page, LUMO_META_SIZE, mac, make) ? MDB_CRYPTO_FAIL : 0;
}

/* A copy of a mapped meta page, if it counts. */
static int
lumo_meta_take(MDB_env *env, int number, lumo_image *image)
{
	size_t size = LUMO_META_SIZE + env->me_lumo.mac_size;
	int rc = 0, tries;
	/* It may be in the middle of being written, by another process. */
	for (tries = 0; tries < 1000; tries++) {
		int known;
		memcpy(image, env->me_map + (size_t)number * env->me_psize, size);
		pthread_mutex_lock(&env->me_rpmutex);
		known = !memcmp(image, &env->me_lumo.good[number], size);
		pthread_mutex_unlock(&env->me_rpmutex);
		if (known)
			return 0;
		if (!(rc = lumo_meta_check(env, image, number))) {
			pthread_mutex_lock(&env->me_rpmutex);
			memcpy(&env->me_lumo.good[number], image, size);
			pthread_mutex_unlock(&env->me_rpmutex);
			return 0;
		}
		sched_yield();
	}
	return rc;
}

/* The meta page that a transaction begins with, for which mdb_txn_renew0() has chosen mt_txnid. */
static int
lumo_txn_meta(MDB_txn *txn, MDB_meta *meta)
{
	MDB_env *env = txn->mt_env;
	MDB_txninfo *ti = env->me_txns;
	int reader = F_ISSET(txn->mt_flags, MDB_TXN_RDONLY), rc = 0, tries;
	for (tries = 0; tries < 1000; tries++) {
		txnid_t wanted = reader ? txn->mt_txnid : txn->mt_txnid - 1;
		lumo_image image;
		if ((rc = lumo_meta_take(env, wanted & 1, &image)))
			break;
		*meta = *(MDB_meta *)METADATA(&image.page);
		if (meta->mm_txnid == wanted)
			return 0;
		/* Two commits came between the choice and the copy. */
		rc = MDB_CORRUPTED;
		if (!reader || !ti)
			break;
		do
			txn->mt_u.reader->mr_txnid = ti->mti_txnid;
		while (txn->mt_u.reader->mr_txnid != ti->mti_txnid);
		txn->mt_txnid = txn->mt_u.reader->mr_txnid;
	}
	return rc;
}

static MDB_meta *
lumo_meta_pick(MDB_env *env)
{
	lumo_image images[NUM_METAS];
	int bad0 = lumo_meta_take(env, 0, &images[0]), bad1 = lumo_meta_take(env, 1, &images[1]);
	int newer = ((MDB_meta *)METADATA(&images[0].page))->mm_txnid < ((MDB_meta *)METADATA(&images[1].page))->mm_txnid;
	if (bad0 || bad1)
		return env->me_metas[bad0 != 0];
	return env->me_metas[newer ^ ((env->me_flags & MDB_PREVSNAPSHOT) != 0)];
}

static int
lumo_meta_write(MDB_env *env, MDB_meta *meta, int toggle, unsigned flags)
{
	ssize_t size = LUMO_META_SIZE + env->me_lumo.mac_size, written;
	off_t at = (off_t)toggle * env->me_psize;
	HANDLE fd = (flags & (MDB_NOSYNC|MDB_NOMETASYNC)) ? env->me_fd : env->me_mfd;
	lumo_image image, before;
	int rc;
	memset(&image, 0, sizeof(image));
	image.page.mp_pgno = toggle;
	image.page.mp_flags = P_META;
	meta->mm_magic = MDB_MAGIC;
	meta->mm_version = MDB_DATA_VERSION;
	meta->mm_address = 0;
	memcpy(METADATA(&image.page), meta, sizeof(*meta));
	if ((rc = lumo_meta_mac(env, &image, 1)))
		return rc;
	memcpy(&before, env->me_map + at, size);
	do
		written = pwrite(fd, &image, size, at);
	while (written < 0 && errno == EINTR);
	if (written == size)
		return 0;
	rc = written < 0 ? errno : MDB_SHORT_WRITE;
	/* The file may show the new page all the same. */
	written = pwrite(env->me_fd, &before, size, at);
	(void)written;
	return rc;
}

/* The newest meta page that counts, or with `prev` the one before it. */
static int
lumo_read_header(MDB_env *env, int prev, MDB_meta *meta)
{
	ssize_t size = LUMO_META_SIZE + env->me_lumo.mac_size, got;
	lumo_image images[NUM_METAS];
	MDB_meta *m0 = METADATA(&images[0].page), *m1 = METADATA(&images[1].page);
	int rc0, rc1 = MDB_INVALID, pick;
	unsigned psize;
	got = pread(env->me_fd, &images[0], size, 0);
	if (got == 0)
		return MDB_NO_META;
	if (got < 0)
		return errno;
	rc0 = got < size ? MDB_INVALID : lumo_meta_check(env, &images[0], 0);
	/* Where the other one is depends on the size of pages, which the first one only says if it counts. */
	for (psize = rc0 ? 256 : m0->mm_psize; psize <= MAX_PAGESIZE && psize >= 256; psize *= 2) {
		if (pread(env->me_fd, &images[1], size, psize) == size) {
			rc1 = lumo_meta_check(env, &images[1], 1);
			if (!rc1 && m1->mm_psize == psize)
				break;
		}
		if (!rc1)
			rc1 = MDB_INVALID;
		if (!rc0)
			break;
	}
	if (rc0 && rc1)
		return rc0 == MDB_INVALID ? rc1 : rc0;
	if (rc0 || rc1) {
		env->me_lumo.damages++;
		env->me_lumo.damaged_pgno = rc0 ? 0 : 1;
		pick = rc0 != 0;
	} else {
		pick = (m0->mm_txnid < m1->mm_txnid) ^ (prev != 0);
	}
	*meta = pick ? *m1 : *m0;
	return 0;
}
