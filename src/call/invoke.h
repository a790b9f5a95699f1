/* SPDX-License-Identifier: MIT */
/*
 * What the files of this room share.
 *
 *   keeper   holds the session of results, objects and iterations: the caller's, or one of their own that ends with the last of them
 *   invocation  what is asked of Python: a function of slither._calls and its items. Each value that the caller gives is an item of its own, so that nothing is
 *            copied and arrays in it stay aligned; the answer is in the first result, the others are nil
 *   debt     a ref that has come and was not given back: Python holds the object once for it
 */
#ifndef SLITHER_CALL_INVOKE_H
#define SLITHER_CALL_INVOKE_H

#include <stdatomic.h>

#include <slither/call.h>

#define SL__INVOCATION_VALUES_MAX 4
#define SL__LABEL_SIZE 320 /* bytes of what an error calls the callee, with its NUL */

/* ---- keepers ---------------------------------------------------------------------------------------------------- */

struct sl__keeper {
    _Atomic uint32_t refs;
    struct sl_session *session; /* a reference of it, or the handle itself */
    bool own;                   /* it is to be closed */
};

/* `session` NULL: opens one of its own. */
enum sl_code sl__keeper_make(struct sl_pool *pool, struct sl_session *session, struct sl__keeper **keeper,
                             struct sl_error *error);
struct sl__keeper *sl__keeper_ref(struct sl__keeper *keeper);
void sl__keeper_unref(struct sl__keeper *keeper);

/* ---- invocations ---------------------------------------------------------------------------------------------------- */

struct sl__invocation {
    const char *function; /* "slither._calls:..." */
    char label[SL__LABEL_SIZE];
    struct sl_value values[SL__INVOCATION_VALUES_MAX];
    uint32_t count;
    struct sl_writer texts; /* of the values that are the library's own */
};

void sl__invocation_init(struct sl__invocation *invocation, const char *function);
void sl__invocation_finish(struct sl__invocation *invocation);
/* What errors call the callee: "subject" or "subject.part". Copied. */
void sl__invocation_label(struct sl__invocation *invocation, const char *subject, const char *part);
/* A value of the caller's, which must live as long as the invocation; "no value" becomes nil. */
void sl__invocation_add(struct sl__invocation *invocation, struct sl_value value);
/* A text, or nil. At most one for an invocation. NULL is nil. */
enum sl_code sl__invocation_add_text(struct sl__invocation *invocation, const char *text, struct sl_error *error);

/* The defaults with what is given. */
enum sl_code sl__invoke_options(const struct sl_call_options *given, struct sl_call_options *options, const char *what,
                                struct sl_error *error);
/* args and kwargs are what they have to be. */
enum sl_code sl__invoke_check(const char *what, struct sl_value args, struct sl_value kwargs, struct sl_error *error);
enum sl_code sl__invoke_check_target(const char *what, const char *target, struct sl_error *error);
enum sl_code sl__invoke_check_name(const char *what, const char *name, bool required, struct sl_error *error);

struct sl_object;

/*
 * Asks, waits, and makes a result of the answer. `keeper` is referred to by the result. `object`: whose call it is, or NULL; with a session that has
 * ended it is gone, and the error ref_lost.
 */
enum sl_code sl__invoke(struct sl__keeper *keeper, const struct sl_object *object,
                        const struct sl_call_options *options, const struct sl__invocation *invocation,
                        struct sl_result *result, struct sl_error *error);
/* The pool of its session, with the same errors. */
enum sl_code sl__object_pool(const struct sl_object *object, struct sl_pool **pool, struct sl_error *error);

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* The owner of a sl_result. */
struct sl__answer {
    struct sl__keeper *keeper;
    struct sl_results results;
    uint32_t debt_count;     /* refs in the value */
    struct sl__taken *taken; /* those of which there are handles: open addressing by place */
    uint32_t taken_count, taken_size;
};

/* Takes the results over, also on failure. `ref_count`: refs in them; when there is none nobody looks for them. */
enum sl_code sl__answer_make(struct sl__keeper *keeper, struct sl_results *results, uint64_t ref_count,
                             struct sl_result *result, struct sl_error *error);

/* ---- objects ------------------------------------------------------------------------------------------------------ */

struct sl_object {
    _Atomic uint32_t refs;
    struct sl__keeper *keeper;
    struct sl_ref ref; /* its texts are not used: those below are NUL-terminated */
    char *type_name, *repr;
    size_t value_size;
    uint8_t value[]; /* the encoded ref, then the texts */
};

/* With one reference; takes over the debt. NULL: out of memory. */
struct sl_object *sl__object_make(struct sl__keeper *keeper, struct sl_value ref);
/* A session in the options has to be the object's. */
enum sl_code sl__object_check_session(const struct sl_object *object, const struct sl_call_options *options,
                                      const char *what, struct sl_error *error);

/* ---- asynchronous calls ------------------------------------------------------------------------------------------- */

/* Copies the invocation. `object` (or NULL) is held until it has ended. */
enum sl_code sl__async_submit(struct sl_pool *pool, struct sl_object *object, const struct sl_call_options *options,
                              const struct sl__invocation *invocation, sl_call_done_fn *done, void *context,
                              struct sl_error *error);

#endif
