/* SPDX-License-Identifier: MIT */
/*
 * The doorbell of src/lane/doorbell.c for the model checker spin.
 *
 *     spin -a doorbell.pml && cc -o pan pan.c && ./pan            no error: nobody sleeps on a bell that was rung
 *     spin -DNO_FENCE -a doorbell.pml && cc -o pan pan.c && ./pan finds the lost wake-up
 *
 * Each side has a store buffer of one entry, which may reach memory at any later moment: what x86 does and what release and acquire
 * permit. A fence waits until it is empty. The futex compares and falls asleep in one step, as the kernel does under its lock.
 */
#define MESSAGES 3

byte tail = 0;      /* memory */
bool waiting = false;
byte tail_buffer;   /* on its way to memory */
bool tail_pending = false;
bool waiting_buffer;
bool waiting_pending = false;
bool asleep = false;

active proctype tail_flusher() {
end:
    do
    :: atomic { tail_pending -> tail = tail_buffer; tail_pending = false }
    od
}

active proctype waiting_flusher() {
end:
    do
    :: atomic { waiting_pending -> waiting = waiting_buffer; waiting_pending = false }
    od
}

active proctype publisher() {
    byte n = 0;
    do
    :: n < MESSAGES ->
        n++;
        atomic { !tail_pending -> tail_buffer = n; tail_pending = true } /* P1 */
#ifndef NO_FENCE
        !tail_pending;                                                  /* P2 */
#endif
        if                                                              /* P3 */
        :: atomic { waiting -> asleep = false } /* wakes whoever sleeps now; nobody may */
        :: else
        fi
    :: else -> break
    od
}

active proctype sleeper() {
    byte taken = 0;
    do
    :: taken < MESSAGES ->
        if
        :: tail != taken -> taken++
        :: else ->
            atomic { !waiting_pending -> waiting_buffer = true; waiting_pending = true } /* S1 */
#ifndef NO_FENCE
            !waiting_pending;                                                            /* S2 */
#endif
            if
            :: tail != taken                                                             /* S3 */
            :: else ->
                atomic {                                                                 /* S4 */
                    if
                    :: tail == taken -> asleep = true
                    :: else
                    fi
                }
                !asleep /* to stay here for ever is the error: an invalid end state */
            fi;
            atomic { !waiting_pending -> waiting_buffer = false; waiting_pending = true } /* S5 */
        fi
    :: else -> break
    od
}
