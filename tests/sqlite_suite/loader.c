/*
** Compiled into SQLite's testfixture and mptester as SQLITE_EXTRA_INIT: SQLite calls it at the end of each
** sqlite3_initialize, of which a test may cause several.
**
** With LUMO_SUITE_ENGINE naming the engine's shared object, every database that names no VFS goes through the engine,
** and with LUMO_KEY in the environment every new one is encrypted. Without it nothing changes.
*/
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

typedef int (*register_library)(const char *shared_object, char **json);
typedef int (*set_default)(unsigned host, int on);

int lumo_suite_init(const char *unused) {
  const char *engine = getenv("LUMO_SUITE_ENGINE");
  char *json = 0;
  void *handle;
  register_library reg;
  set_default make_default;

  (void)unused;
  if (engine == 0 || *engine == 0) return 0;
  handle = dlopen(engine, RTLD_NOW | RTLD_GLOBAL);
  if (handle == 0) {
    fprintf(stderr, "lumo_suite_init: %s\n", dlerror());
    exit(97);
  }
  reg = (register_library)dlsym(handle, "lumo_register_library");
  make_default = (set_default)dlsym(handle, "lumo_set_default");
  if (reg == 0 || make_default == 0 || reg(0, &json) != 0 || make_default(0, 1) != 0) {
    fprintf(stderr, "lumo_suite_init: the engine cannot serve this SQLite\n");
    exit(97);
  }
  return 0;
}
