/* SPDX-License-Identifier: MIT */
#include "module.h"

#include <string.h>

/* A key that is met this often without being displaced becomes the interned str that item["key"] in the user's code names, so that
 * the look-up there ends at the first pointer comparison. Not at once: some versions of CPython never free interned str. */
#define SL__KEY_HITS_INTERN 16

/* Not seeded: the host chooses the keys, and a collision costs no more than not having the cache. */
static inline uint32_t slot_of(const uint64_t words[SL__KEY_SIZE_MAX / 8], uint32_t size) {
    uint64_t mixed = (words[0] ^ size) * UINT64_C(0x9e3779b97f4a7c15);
    if (size > 8) {
        mixed = (mixed ^ words[1]) * UINT64_C(0x9e3779b97f4a7c15);
        if (size > 16) {
            mixed = (((mixed ^ words[2]) * UINT64_C(0x9e3779b97f4a7c15)) ^ words[3]) * UINT64_C(0x9e3779b97f4a7c15);
        }
    }
    return (uint32_t)(mixed >> 40) & (SL__KEY_SLOTS - 1);
}

PyObject *sl__key_cache_get(struct sl__key_cache *cache, const uint8_t *bytes, size_t size, size_t readable) {
    if (size > SL__KEY_SIZE_MAX || size == 0) {
        return PyUnicode_DecodeUTF8((const char *)bytes, (Py_ssize_t)size, NULL);
    }
    uint64_t words[SL__KEY_SIZE_MAX / 8] = {0};
    if (size <= 8 && readable >= 8) {
        memcpy(words, bytes, 8);
        words[0] &= UINT64_MAX >> (8 * (8 - size));
    } else {
        memcpy(words, bytes, size);
    }
    struct sl__key *key = &cache->slots[slot_of(words, (uint32_t)size)];
    if (key->text != NULL && key->size == size &&
        (size <= 8 ? memcmp(key->bytes, words, 8) == 0 : memcmp(key->bytes, words, sizeof(words)) == 0)) {
        if (key->hits < SL__KEY_HITS_INTERN && ++key->hits == SL__KEY_HITS_INTERN) {
            PyUnicode_InternInPlace(&key->text);
        }
        Py_INCREF(key->text);
        return key->text;
    }
    PyObject *text = PyUnicode_DecodeUTF8((const char *)bytes, (Py_ssize_t)size, NULL);
    if (text == NULL) {
        return NULL;
    }
    PyObject *old = key->text;
    Py_INCREF(text);
    key->text = text;
    key->size = (uint16_t)size;
    key->hits = 0;
    memcpy(key->bytes, words, sizeof(words));
    Py_XDECREF(old);
    return text;
}

int sl__key_cache_traverse(struct sl__key_cache *cache, visitproc visit, void *arg) {
    for (size_t i = 0; i < SL__KEY_SLOTS; i++) {
        Py_VISIT(cache->slots[i].text);
    }
    return 0;
}

void sl__key_cache_clear(struct sl__key_cache *cache) {
    for (size_t i = 0; i < SL__KEY_SLOTS; i++) {
        Py_CLEAR(cache->slots[i].text);
    }
}
