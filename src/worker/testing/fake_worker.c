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
 *   serve            answer questions until the word to stop, then go on; ends at once when the host is gone
 *   echo             give each item back as its result, until the host is gone or says so; the item "hang" ends in nothing
 *   forge            the same, and sends the last reply again before and after each: as it was, and as one of an earlier generation to the request
 *                    that is to be answered
 *   mute             the same without answers
 *   liar             answer a question that was not asked
 *   deafterm         ignore SIGTERM
 *   deaf             close the life-cycle socket and live on
 *   child            start a grandchild that ignores all it can, and write its pid to stdout
 *   out=TEXT err=TEXT  print a line
 *   exit=N signal=N hang
 *
 * Started as a template it does what $FAKE_TEMPLATE says ("prepare;ready;fork" when that is not set), with the same steps and these:
 *
 *   prepare          read the first message
 *   unfit=REASON     say that it is ready, and that its workers are programs of their own (they are forks nevertheless)
 *   fork[=N]         take requests to fork, for ever or N of them; tell how the children end
 *   swallow          take a request and do not answer it
 *   decline          answer a request with failure
 *   lie              answer a request with another one's answer
 *
 * Its scripts, too, may be several, for one life after the other, when $FAKE_LIVES names a file in which it can count them.
 *
 * The generation is only known from the configuration; what comes before that step is taken from the first script.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <slither/value.h>

#include "forge.h"
#include "lane/handshake.h"
#include "lane/lane.h"
#include "sys/packet.h"
#include "sys/process.h"
#include "wire/batch.h"

static uint64_t generation = 1;

static void send_message(struct sl_writer *writer) {
    struct sl_value value;
    if (sl_writer_end(writer, &value, NULL) != SL_OK ||
        sl__packet_send(SL__WORKER_FD, value.data, value.size, NULL, 0, 0, NULL) != SL_OK) {
        _exit(97);
    }
    sl_writer_finish(writer);
}

static bool is_template;

static void say_ready(const char *version, bool gil, const char *unfit) {
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, is_template ? 7 : 5);
    if (is_template) {
        sl_write_str(&writer, "fork");
        sl_write_bool(&writer, unfit == NULL);
        sl_write_str(&writer, "reason");
        sl_write_str(&writer, unfit != NULL ? unfit : "");
    }
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

static int config_fds[8]; /* that came with the last message */

static enum sl_code receive(struct sl_value *value) {
    static uint8_t bytes[SL__MESSAGE_MAX];
    size_t size, fd_count;
    enum sl_code code =
        sl__packet_receive(SL__WORKER_FD, bytes, sizeof(bytes), &size, config_fds, 8, &fd_count, 0, NULL);
    return code == SL_OK ? sl_value_check(bytes, size, NULL, value, NULL) : code;
}

static uint64_t config_number(struct sl_value config, const char *key) {
    struct sl_value field;
    uint64_t number = 0;
    if (sl_value_get(config, key, &field) != SL_OK || sl_value_uint(field, &number) != SL_OK) {
        _exit(98);
    }
    return number;
}

static struct sl__lane_config lane_config;

static void read_config(void) {
    struct sl_value config;
    if (receive(&config) != SL_OK) {
        _exit(98);
    }
    generation = config_number(config, "generation");
    lane_config = (struct sl__lane_config){
        .segment_bytes = config_number(config, "segment_bytes"),
        .payload_bytes_max = config_number(config, "payload_bytes_max"),
        .limits = SL_LIMITS_INIT,
        .lane = (uint32_t)config_number(config, "worker"),
        .generation = (uint32_t)generation,
    };
}

static void say_state(uint64_t number) {
    struct sl_writer writer;
    sl_writer_init(&writer, NULL);
    sl_write_map(&writer, 5);
    sl_write_str(&writer, "type");
    sl_write_str(&writer, "state");
    sl_write_str(&writer, "number");
    sl_write_uint(&writer, number);
    sl_write_str(&writer, "activity");
    sl_write_str(&writer, "idle");
    sl_write_str(&writer, "stuck_ms");
    sl_write_uint(&writer, 0);
    sl_write_str(&writer, "stack");
    sl_write_bool(&writer, false);
    send_message(&writer);
}

static void serve(bool answers) {
    struct sl_value message, field;
    uint64_t number;
    for (;;) {
        if (receive(&message) != SL_OK) {
            _exit(0);
        }
        if (sl_value_get(message, "number", &field) != SL_OK || sl_value_uint(field, &number) != SL_OK) {
            return;
        }
        if (answers) {
            say_state(number);
        }
    }
}

static void hang(void) {
    for (;;) {
        pause();
    }
}

/* ---- batches ---------------------------------------------------------------------------------------------------- */

static void *serve_aside(void *unused) {
    serve(true);
    _exit(0);
    return unused;
}

static void answer_batch(struct sl__lane *lane, const struct sl__request *request) {
    static const char hang_word[] = "hang";
    size_t start = sl__batch_pad(request->head_size), size = request->size - start, capacity;
    uint8_t *memory;
    if (memmem(request->data + start, size, hang_word, sizeof(hang_word) - 1) != NULL) {
        hang();
    }
    if (sl__lane_reply_open(lane, &memory, &capacity, NULL) != SL_OK || capacity < size) {
        _exit(90);
    }
    memcpy(memory, request->data + start, size);
    if (sl__lane_reply_commit(lane, SL_OK, request->item_count, size, 0, NULL) != SL_OK) {
        _exit(89);
    }
}

static void run_batches(bool forges) {
    static const _Atomic uint32_t never = 0;
    struct sl__lane *lane;
    struct sl__request request;
    pthread_t thread;
    if (sl__lane_attach(config_fds, &lane_config, &lane, NULL) != SL_OK ||
        pthread_create(&thread, NULL, serve_aside, NULL) != 0) {
        _exit(91);
    }
    for (;;) {
        enum sl_code code = sl__lane_take(lane, &request, NULL);
        if (code == SL_E_AGAIN) {
            sl__lane_wait_request(lane, &never);
            continue;
        }
        if (code != SL_OK) {
            _exit(88);
        }
        if (forges) {
            (void)sl__lane_forge(lane, 0, false);
            (void)sl__lane_forge(lane, 1, true);
        }
        answer_batch(lane, &request);
        if (forges) {
            (void)sl__lane_forge(lane, 0, false);
            (void)sl__lane_forge(lane, 1, false);
        }
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

/* ---- template --------------------------------------------------------------------------------------------------- */

static void play(const char *scripts);

static void begin_message(struct sl_writer *writer, const char *type, uint32_t further) {
    sl_writer_init(writer, NULL);
    sl_write_map(writer, 1 + further);
    sl_write_str(writer, "type");
    sl_write_str(writer, type);
}

static uint64_t number_in(struct sl_value message, const char *key) {
    struct sl_value field;
    uint64_t number = 0;
    if (sl_value_get(message, key, &field) != SL_OK || sl_value_uint(field, &number) != SL_OK) {
        _exit(94);
    }
    return number;
}

static void answer(const char *type, uint64_t worker, uint64_t of_generation, const char *key, int value, int pidfd) {
    struct sl_writer writer;
    struct sl_value message;
    begin_message(&writer, type, 3);
    sl_write_str(&writer, "worker");
    sl_write_uint(&writer, worker);
    sl_write_str(&writer, "generation");
    sl_write_uint(&writer, of_generation);
    sl_write_str(&writer, key);
    sl_write_int(&writer, value);
    if (sl_writer_end(&writer, &message, NULL) != SL_OK ||
        sl__packet_send(SL__WORKER_FD, message.data, message.size, &pidfd, pidfd >= 0 ? 1 : 0, 0, NULL) != SL_OK) {
        _exit(93);
    }
    sl_writer_finish(&writer);
}

static void tell_ends(void) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct sl_writer writer;
        begin_message(&writer, "ended", 4);
        sl_write_str(&writer, "pid");
        sl_write_int(&writer, pid);
        sl_write_str(&writer, "status");
        sl_write_int(&writer, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
        sl_write_str(&writer, "signal");
        sl_write_int(&writer, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
        sl_write_str(&writer, "core");
        sl_write_bool(&writer, false);
        send_message(&writer);
    }
}

/* One request; does with it what `how` says. Ends with all children when the host is gone or says so. */
static void take_request(const char *how) {
    static uint8_t bytes[SL__MESSAGE_MAX];
    struct pollfd request = {.fd = SL__WORKER_FD, .events = POLLIN};
    while (poll(&request, 1, 5) == 0) {
        tell_ends();
    }
    int fds[SL__START_FDS];
    size_t size, fd_count;
    struct sl_value message;
    if (sl__packet_receive(SL__WORKER_FD, bytes, sizeof(bytes), &size, fds, SL__START_FDS, &fd_count, 0, NULL) !=
            SL_OK ||
        sl_value_check(bytes, size, NULL, &message, NULL) != SL_OK || fd_count != SL__START_FDS) {
        while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) {
        }
        _exit(0);
    }
    uint64_t worker = number_in(message, "worker"), of_generation = number_in(message, "generation");
    if (strcmp(how, "fork") == 0) {
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            is_template = false;
            generation = 1;
            setsid();
            dup2(fds[0], 1);
            dup2(fds[1], 2);
            dup2(fds[2], SL__WORKER_FD);
            for (size_t i = 0; i < SL__START_FDS; i++) {
                close(fds[i]);
            }
            play(getenv("FAKE_SCRIPT"));
            _exit(0);
        }
        int pidfd = -1;
        (void)sl__process_open(pid, &pidfd, NULL);
        while (getsid(pid) != pid) { /* see python/src/template.c */
            (void)poll(NULL, 0, 1);
        }
        answer("started", worker, of_generation, "pid", (int)pid, pidfd);
        close(pidfd);
    } else if (strcmp(how, "decline") == 0) {
        answer("start_failed", worker, of_generation, "errno", EAGAIN, -1);
    } else if (strcmp(how, "lie") == 0) {
        answer("start_failed", worker, of_generation + 1, "errno", EAGAIN, -1);
    }
    for (size_t i = 0; i < SL__START_FDS; i++) {
        close(fds[i]);
    }
}

static void take_requests(const char *count) {
    long left = count != NULL ? atol(count) : -1;
    while (left != 0) {
        take_request("fork");
        left -= left > 0 ? 1 : 0;
    }
}

static void step(const char *name, const char *argument) {
    static const char noise[] = "\xc1 this is not MessagePack";
    if (strcmp(name, "config") == 0) {
        read_config();
    } else if (strcmp(name, "ready") == 0) {
        say_ready(argument != NULL ? argument : "3.11.2", true, NULL);
    } else if (strcmp(name, "nogil") == 0) {
        say_ready("3.13.0", false, NULL);
    } else if (strcmp(name, "failed") == 0) {
        say_failed(argument);
    } else if (strcmp(name, "noise") == 0) {
        (void)sl__packet_send(SL__WORKER_FD, noise, sizeof(noise), NULL, 0, 0, NULL);
    } else if (strcmp(name, "huge") == 0) {
        static uint8_t bytes[SL__MESSAGE_MAX + 1];
        (void)sl__packet_send(SL__WORKER_FD, bytes, sizeof(bytes), NULL, 0, 0, NULL);
    } else if (strcmp(name, "serve") == 0) {
        serve(true);
    } else if (strcmp(name, "echo") == 0 || strcmp(name, "forge") == 0) {
        run_batches(strcmp(name, "forge") == 0);
    } else if (strcmp(name, "deafterm") == 0) {
        signal(SIGTERM, SIG_IGN);
    } else if (strcmp(name, "mute") == 0) {
        serve(false);
    } else if (strcmp(name, "liar") == 0) {
        say_state(1);
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
    } else if (strcmp(name, "prepare") == 0) {
        struct sl_value message;
        if (receive(&message) != SL_OK) {
            _exit(95);
        }
    } else if (strcmp(name, "unfit") == 0) {
        say_ready("3.11.2", true, argument);
    } else if (strcmp(name, "fork") == 0) {
        take_requests(argument);
    } else if (strcmp(name, "swallow") == 0 || strcmp(name, "decline") == 0 || strcmp(name, "lie") == 0) {
        take_request(name);
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

static void play(const char *scripts) {
    for (size_t i = 0;; i++) {
        char *script = part(scripts, '|', (size_t)generation - 1, true);
        char *name = part(script, ';', i, false);
        if (name == NULL) {
            free(script);
            return;
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

/* A byte in the file for each life. */
static void count_life(const char *path) {
    int fd = open(path, O_WRONLY | O_APPEND);
    if (fd < 0 || write(fd, "x", 1) != 1) {
        _exit(92);
    }
    generation = (uint64_t)lseek(fd, 0, SEEK_CUR);
    close(fd);
}

int main(int argc, char **argv) {
    is_template = argc > 0 && strcmp(argv[argc - 1], "slither.template") == 0;
    const char *scripts = getenv(is_template ? "FAKE_TEMPLATE" : "FAKE_SCRIPT");
    if (is_template && scripts == NULL) {
        scripts = "prepare;ready;fork";
    }
    if (scripts == NULL) {
        return 96;
    }
    if (is_template && getenv("FAKE_LIVES") != NULL) {
        count_life(getenv("FAKE_LIVES"));
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    play(scripts);
    return 0;
}
