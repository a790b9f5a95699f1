/* SPDX-License-Identifier: MIT */
/*
 * Stands in for the interpreter in tests: does what $FAKE_SCRIPT says. Scripts of successive generations are separated by '|', the
 * last one is used from then on; steps of a script by ';':
 *
 *   config           read the configuration (every step below but out, err, exit, signal, hang needs it first)
 *   ready[=VERSION]  say that it is ready
 *   nogil            say that it is ready, without a GIL
 *   failed=CODE      say that it is not
 *   noise            send bytes that are no message
 *   huge             send a packet that is larger than any message
 *   serve            wait for the word to stop, then go on; ends at once when the host is gone
 *   deaf             close the life-cycle socket and live on
 *   child            start a grandchild that ignores all it can, and write its pid to stdout
 *   out=TEXT err=TEXT  print a line
 *   exit=N signal=N hang
 *
 * The generation is only known from the configuration; what comes before that step is taken from the first script.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <slither/value.h>

#include "lane/handshake.h"
#include "sys/packet.h"

static uint64_t generation = 1;

static void send_message(struct sl_writer *writer) {
    struct sl_value value;
    if (sl_writer_end(writer, &value, NULL) != SL_OK ||
        sl__packet_send(SL__WORKER_FD, value.data, value.size, NULL, 0, 0, NULL) != SL_OK) {
        _exit(97);
    }
    sl_writer_finish(writer);
}

static void say_ready(const char *version, bool gil) {
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, 5);
    sl_write_str(&writer, "type");
    sl_write_str(&writer, "ready");
    sl_write_str(&writer, "pid");
    sl_write_int(&writer, getpid());
    sl_write_str(&writer, "python");
    sl_write_str(&writer, version);
    sl_write_str(&writer, "executable");
    sl_write_str(&writer, "/fake/python");
    sl_write_str(&writer, "gil");
    sl_write_bool(&writer, gil);
    send_message(&writer);
}

static void say_failed(const char *code) {
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, 6);
    sl_write_str(&writer, "type");
    sl_write_str(&writer, "failed");
    sl_write_str(&writer, "code");
    sl_write_str(&writer, code);
    sl_write_str(&writer, "message");
    sl_write_str(&writer, "cannot import nonsense");
    sl_write_str(&writer, "traceback");
    sl_write_str(&writer, "Traceback (most recent call last):\n  somewhere\nImportError: nonsense");
    sl_write_str(&writer, "executable");
    sl_write_str(&writer, "/fake/python");
    sl_write_str(&writer, "python");
    sl_write_str(&writer, "3.11.2");
    send_message(&writer);
}

static enum sl_code receive(struct sl_value *value) {
    static uint8_t bytes[SL__MESSAGE_MAX];
    int fds[8];
    size_t size, fd_count;
    enum sl_code code = sl__packet_receive(SL__WORKER_FD, bytes, sizeof(bytes), &size, fds, 8, &fd_count, 0, NULL);
    return code == SL_OK ? sl_value_check(bytes, size, NULL, value, NULL) : code;
}

static void read_config(void) {
    struct sl_value config, field;
    if (receive(&config) != SL_OK || sl_value_get(config, "generation", &field) != SL_OK ||
        sl_value_uint(field, &generation) != SL_OK) {
        _exit(98);
    }
}

static void serve(void) {
    struct sl_value message;
    if (receive(&message) != SL_OK) {
        _exit(0);
    }
}

static void start_grandchild(void) {
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGTERM, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        for (;;) {
            pause();
        }
    }
    printf("grandchild %ld\n", (long)pid);
    fflush(stdout);
}

static void hang(void) {
    for (;;) {
        pause();
    }
}

static void step(const char *name, const char *argument) {
    static const char noise[] = "\xc1 this is not MessagePack";
    if (strcmp(name, "config") == 0) {
        read_config();
    } else if (strcmp(name, "ready") == 0) {
        say_ready(argument != NULL ? argument : "3.11.2", true);
    } else if (strcmp(name, "nogil") == 0) {
        say_ready("3.13.0", false);
    } else if (strcmp(name, "failed") == 0) {
        say_failed(argument);
    } else if (strcmp(name, "noise") == 0) {
        (void)sl__packet_send(SL__WORKER_FD, noise, sizeof(noise), NULL, 0, 0, NULL);
    } else if (strcmp(name, "huge") == 0) {
        static uint8_t bytes[SL__MESSAGE_MAX + 1];
        (void)sl__packet_send(SL__WORKER_FD, bytes, sizeof(bytes), NULL, 0, 0, NULL);
    } else if (strcmp(name, "serve") == 0) {
        serve();
    } else if (strcmp(name, "deaf") == 0) {
        close(SL__WORKER_FD);
    } else if (strcmp(name, "child") == 0) {
        start_grandchild();
    } else if (strcmp(name, "out") == 0) {
        printf("%s\n", argument);
        fflush(stdout);
    } else if (strcmp(name, "err") == 0) {
        fprintf(stderr, "%s\n", argument);
    } else if (strcmp(name, "exit") == 0) {
        _exit(atoi(argument));
    } else if (strcmp(name, "signal") == 0) {
        signal(atoi(argument), SIG_DFL); /* a sanitizer may have put its own handler there */
        raise(atoi(argument));
    } else if (strcmp(name, "hang") == 0) {
        hang();
    } else {
        fprintf(stderr, "fake worker: no step is called %s\n", name);
        _exit(99);
    }
}

/* The `index`-th part of `text`, cut at `separator`; the last when there are fewer and `clamp`. NULL past the end. */
static char *part(const char *text, char separator, size_t index, bool clamp) {
    for (; index > 0; index--) {
        const char *end = strchr(text, separator);
        if (end == NULL) {
            if (!clamp) {
                return NULL;
            }
            break;
        }
        text = end + 1;
    }
    const char *end = strchr(text, separator);
    return strndup(text, end != NULL ? (size_t)(end - text) : strlen(text));
}

int main(void) {
    const char *scripts = getenv("FAKE_SCRIPT");
    if (scripts == NULL) {
        return 96;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (size_t i = 0;; i++) {
        char *script = part(scripts, '|', (size_t)generation - 1, true);
        char *name = part(script, ';', i, false);
        if (name == NULL) {
            return 0;
        }
        char *argument = strchr(name, '=');
        if (argument != NULL) {
            *argument++ = '\0';
        }
        step(name, argument);
        free(name);
        free(script);
    }
}
