/* SPDX-License-Identifier: MIT */
/* What a worker may send, and what it must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "request.h"
#include "sys/descriptor.h"
#include "sys/memory_file.h"

#define ALL_SEALS (SL__SEAL_WRITE | SL__SEAL_SHRINK | SL__SEAL_GROW | SL__SEAL_SEAL)

/* [[1, "x"], {"k": 2}] and ["a", "b"] */
static const uint8_t one[] = "\x92\x92\x01\xa1x\x81\xa1k\x02";
static const uint8_t many[] = "\x92\xa1"
                              "a\xa1"
                              "b";

struct packet {
    struct sl__call_request head;
    uint8_t bytes[SL__CALL_PACKET_MAX];
    size_t size;
};

static struct packet packet;
static uint8_t flat[SL__CALL_PACKET_MAX + sizeof(struct sl__call_request)];

static void make(const char *name, const uint8_t *payload, size_t size) {
    packet.head = (struct sl__call_request){
        .number = 7, .size = size, .mode = SL__CALL_ONE, .timeout_ms = 5, .name_size = (uint32_t)strlen(name)};
    memcpy(packet.bytes, name, strlen(name));
    memcpy(packet.bytes + strlen(name), payload, size);
    packet.size = strlen(name) + size;
}

static enum sl_code read_with(const int *fds, size_t fd_count, struct sl__request_in *in) {
    int copies[2] = {-1, -1};
    for (size_t i = 0; i < fd_count; i++) {
        copies[i] = dup(fds[i]);
        assert_true(copies[i] >= 0);
    }
    int first = copies[0];
    memcpy(flat, &packet.head, sizeof packet.head);
    memcpy(flat + sizeof packet.head, packet.bytes, packet.size);
    struct sl_error error = SL_ERROR_INIT;
    enum sl_code code = sl__request_read(flat, sizeof packet.head + packet.size, copies, fd_count, in, &error);
    assert_int_equal(code, error.code);
    assert_true(code == SL_OK || error.message[0] != '\0');
    assert_true(fd_count == 0 || fcntl(first, F_GETFD) < 0); /* closed, whatever came of it */
    sl_error_finish(&error);
    return code;
}

static void expect(enum sl_code code) {
    struct sl__request_in in;
    assert_int_equal(read_with(NULL, 0, &in), code);
    sl__request_finish(&in);
}

static void a_call_is_understood(void **state) {
    (void)state;
    struct sl__request_in in;
    struct sl_value value;
    int64_t number;
    make("price", one, sizeof one - 1);
    assert_int_equal(read_with(NULL, 0, &in), SL_OK);
    assert_int_equal(in.number, 7);
    assert_int_equal(in.mode, SL__CALL_ONE);
    assert_int_equal(in.timeout_ms, 5);
    assert_int_equal(in.name_size, 5);
    assert_memory_equal(in.name, "price", 5);
    assert_int_equal(sl_value_at(in.positional, 0, &value), SL_OK);
    assert_int_equal(sl_value_int(value, &number), SL_OK);
    assert_int_equal(number, 1);
    assert_int_equal(sl_value_get(in.keywords, "k", &value), SL_OK);
    assert_int_equal(sl_value_int(value, &number), SL_OK);
    assert_int_equal(number, 2);
    assert_null(in.keys.data);
    sl__request_finish(&in);

    make("p", many, sizeof many - 1);
    packet.head.mode = SL__CALL_MANY;
    assert_int_equal(read_with(NULL, 0, &in), SL_OK);
    uint32_t count;
    assert_int_equal(sl_value_count(in.keys, &count), SL_OK);
    assert_int_equal(count, 2);
    assert_null(in.positional.data);
    sl__request_finish(&in);
}

static void every_field_is_checked(void **state) {
    (void)state;
    const struct {
        size_t offset;
        uint64_t value;
        bool wide;
    } wrong[] = {
        {offsetof(struct sl__call_request, number), 0, true},
        {offsetof(struct sl__call_request, size), 0, true},
        {offsetof(struct sl__call_request, size), 1, true},
        {offsetof(struct sl__call_request, size), sizeof one, true},
        {offsetof(struct sl__call_request, size), UINT64_MAX, true},
        {offsetof(struct sl__call_request, mode), 0, false},
        {offsetof(struct sl__call_request, mode), 3, false},
        {offsetof(struct sl__call_request, flags), 2, false},
        {offsetof(struct sl__call_request, flags), UINT32_MAX, false},
        {offsetof(struct sl__call_request, flags), SL__CALL_IN_FILE, false}, /* and no file came */
        {offsetof(struct sl__call_request, name_size), 0, false},
        {offsetof(struct sl__call_request, name_size), SL__CALL_NAME_MAX + 1, false},
        {offsetof(struct sl__call_request, name_size), UINT32_MAX, false},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        make("price", one, sizeof one - 1);
        memcpy((uint8_t *)&packet.head + wrong[i].offset, &wrong[i].value, wrong[i].wide ? 8 : 4);
        struct sl__request_in in;
        if (read_with(NULL, 0, &in) != SL_E_PROTOCOL) {
            fail_msg("field at %zu with %llu was not refused", wrong[i].offset, (unsigned long long)wrong[i].value);
        }
    }
    static const char *const names[] = {"a\xff", "\xed\xa0\x80", "\xc0\x80"};
    for (size_t i = 0; i < 3; i++) {
        make(names[i], one, sizeof one - 1);
        expect(SL_E_PROTOCOL);
    }
    make("a_b", one, sizeof one - 1);
    packet.bytes[1] = '\0';
    expect(SL_E_PROTOCOL);
    make("price", one, sizeof one - 1);
    for (size_t size = 0; size < packet.size; size++) { /* cut off anywhere */
        size_t whole = packet.size;
        packet.size = size;
        expect(SL_E_PROTOCOL);
        packet.size = whole;
    }
    static const uint8_t nothing[8];
    int none[1];
    struct sl__request_in in;
    assert_int_equal(sl__request_read(nothing, 0, none, 0, &in, NULL), SL_E_PROTOCOL);
    assert_int_equal(sl__request_read(nothing, 8, none, 0, &in, NULL), SL_E_PROTOCOL);
}

static void a_payload_has_to_be_arguments(void **state) {
    (void)state;
    static const char *const payloads[] = {"\x01",         "\x80",        "\xc0", "\x91\x90", "\x93\x90\x80\x80",
                                           "\x92\x80\x80", "\x92\x90\x90"};
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        make("v", (const uint8_t *)payloads[i], strlen(payloads[i]));
        expect(SL_E_PROTOCOL);
    }
    make("v", (const uint8_t *)"\x92\x90\x80", 3);
    expect(SL_OK);
    make("v", (const uint8_t *)"\x92\x90\x80\x01", 4); /* something behind it */
    expect(SL_E_INVALID_DATA);
    make("v", (const uint8_t *)"\x92\x91\xa1\xff\x80", 5);
    expect(SL_E_INVALID_UTF8);
    make("v", (const uint8_t *)"\x92\x91\xc1\x80", 4);
    expect(SL_E_INVALID_DATA);
    uint8_t deep[300];
    memset(deep, 0x91, sizeof deep);
    deep[sizeof deep - 1] = 0x90;
    make("v", deep, sizeof deep);
    packet.head.mode = SL__CALL_MANY;
    expect(SL_E_LIMIT);
}

/* A payload in a file of `size` bytes with these seals. */
static int file_of(size_t size, uint32_t seals) {
    int fd;
    uint8_t *bytes;
    assert_int_equal(sl__memory_file_create("gift", size, &fd, NULL), SL_OK);
    bytes = calloc(1, size);
    assert_non_null(bytes);
    memcpy(bytes, one, SL_MIN(size, sizeof one - 1));
    assert_int_equal(pwrite(fd, bytes, size, 0), size);
    free(bytes);
    assert_int_equal(sl__memory_file_seal(fd, seals, NULL), SL_OK);
    return fd;
}

static void a_file_has_to_be_sealed(void **state) {
    (void)state;
    const struct {
        size_t size;
        uint32_t seals;
        enum sl_code code;
    } files[] = {
        {4096, ALL_SEALS, SL_OK},
        {sizeof one - 1, SL__SEAL_WRITE | SL__SEAL_SHRINK, SL_OK},
        {4096, SL__SEAL_WRITE, SL_E_PROTOCOL},
        {4096, SL__SEAL_SHRINK, SL_E_PROTOCOL},
        {4096, SL__SEAL_FUTURE_WRITE | SL__SEAL_SHRINK | SL__SEAL_GROW, SL_E_PROTOCOL},
        {4096, 0, SL_E_PROTOCOL},
        {sizeof one - 2, ALL_SEALS, SL_E_PROTOCOL}, /* shorter than announced */
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct sl__request_in in;
        int fd = file_of(files[i].size, files[i].seals);
        make("price", one, 0);
        packet.head.flags = SL__CALL_IN_FILE;
        packet.head.size = sizeof one - 1;
        assert_int_equal(read_with(&fd, 1, &in), files[i].code);
        assert_int_equal(in.mapping != NULL, files[i].code == SL_OK);
        assert_int_equal(sl_value_type(in.positional), files[i].code == SL_OK ? SL_TYPE_LIST : SL_TYPE_NONE);
        sl__request_finish(&in);
        sl__close(&fd);
    }
    /* A descriptor that is no memory file, one where none belongs, a payload in both places. */
    struct sl__request_in in;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    make("price", one, 0);
    packet.head.flags = SL__CALL_IN_FILE;
    packet.head.size = sizeof one - 1;
    assert_int_equal(read_with(&null, 1, &in), SL_E_PROTOCOL);
    make("price", one, sizeof one - 1);
    assert_int_equal(read_with(&null, 1, &in), SL_E_PROTOCOL);
    sl__close(&null);
    int fd = file_of(4096, ALL_SEALS);
    make("price", one, sizeof one - 1);
    packet.head.flags = SL__CALL_IN_FILE;
    assert_int_equal(read_with(&fd, 1, &in), SL_E_PROTOCOL);
    sl__close(&fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_understood),
        cmocka_unit_test(every_field_is_checked),
        cmocka_unit_test(a_payload_has_to_be_arguments),
        cmocka_unit_test(a_file_has_to_be_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
