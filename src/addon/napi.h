/*
 * The part of Node-API that the addon uses: version 1, which every Node has.
 * The functions are Node's own; nothing is linked.
 */
#ifndef PODPROF_ADDON_NAPI_H
#define PODPROF_ADDON_NAPI_H

#include <stdbool.h>
#include <stddef.h>

struct napi_env;
struct napi_value;
struct napi_call;

typedef struct napi_value *(*napi_fn)(struct napi_env *, struct napi_call *);

/* Each returns 0, or a napi_status. */
int napi_get_cb_info(struct napi_env *env, struct napi_call *call,
    size_t *argc, struct napi_value **argv, struct napi_value **ret_this,
    void **ret_data);
int napi_get_value_double(struct napi_env *env, struct napi_value *value,
    double *ret_number);
/* Always terminates buf; size counts the terminating NUL. */
int napi_get_value_string_utf8(struct napi_env *env, struct napi_value *value,
    char *buf, size_t size, size_t *ret_len);
int napi_create_double(struct napi_env *env, double number,
    struct napi_value **ret_value);
int napi_create_string_utf8(struct napi_env *env, const char *text, size_t len,
    struct napi_value **ret_value);
int napi_create_function(struct napi_env *env, const char *name, size_t len,
    napi_fn fn, void *data, struct napi_value **ret_value);
int napi_set_named_property(struct napi_env *env, struct napi_value *object,
    const char *name, struct napi_value *value);
int napi_throw_error(struct napi_env *env, const char *code, const char *msg);

/* What Node calls when it loads the addon; returns exports, or NULL with an
 * exception pending. */
struct napi_value *napi_register_module_v1(struct napi_env *env,
    struct napi_value *exports);

#endif
