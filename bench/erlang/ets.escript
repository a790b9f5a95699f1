#!/usr/bin/env escript
%% SPDX-License-Identifier: MIT
%% The store's peer in the Erlang VM: an ETS table of small maps.
%%
%%     escript ets.escript ROW [DIVISOR]
%%
%% It talks to the runner as the other sides do: `ready TIME` when it is warm, `figure NUMBER...` for each line of input.
-mode(compile).

-define(KEYS, 100000).
-define(CALLS, 200000).
-define(MANY, 100).
-define(ROWS, 1000000).
-define(READ_MS, 500).
-define(READ_CHUNK, 1000).

main([Row]) -> main([Row, "1"]);
main([Row, Divisor]) ->
    Round = open(Row, max(1, list_to_integer(Divisor))),
    Round(),
    io:format("ready ~.9f~n", [erlang:monotonic_time(nanosecond) / 1.0e9]),
    serve(Round);
main(_) ->
    io:format(standard_error, "usage: ets.escript get|get_many_100|put|reload_1m|readers_1|readers_2|readers_4 [DIVISOR]~n", []),
    halt(2).

serve(Round) ->
    case io:get_line("") of
        eof -> ok;
        _ -> io:format("figure ~.9f~n", [float(Round())]), serve(Round)
    end.

open("get", Divisor) ->
    Table = filled(),
    Drawn = drawn(count(?CALLS, Divisor)),
    fun() ->
        {Us, Sum} = timer:tc(fun() -> sum_of(Table, Drawn, 0) end),
        expect(Sum, Drawn),
        Us / length(Drawn)
    end;
open("get_many_100", Divisor) ->
    Table = filled(),
    Drawn = drawn(count(?CALLS div ?MANY, Divisor) * ?MANY),
    Calls = split(Drawn),
    fun() ->
        {Us, Sum} = timer:tc(fun() -> many(Table, Calls, 0) end),
        expect(Sum, Drawn),
        Us / length(Calls)
    end;
open("put", Divisor) ->
    Table = filled(),
    Drawn = drawn(count(?CALLS, Divisor)),
    fun() ->
        {Us, ok} = timer:tc(fun() -> put_all(Table, Drawn) end),
        expect(sum_of(Table, Drawn, 0), Drawn),
        Us / length(Drawn)
    end;
open("reload_1m", Divisor) ->
    Count = count(?ROWS, Divisor),
    ets:new(rows, [set, public, named_table, {read_concurrency, true}]),
    fun() ->
        {Us, ok} = timer:tc(fun() -> reload(Count) end),
        Count = ets:info(rows, size),
        Us / 1000
    end;
open("readers_" ++ Number, Divisor) ->
    Table = filled(),
    Drawn = drawn(?READ_CHUNK * 20),
    Readers = list_to_integer(Number),
    fun() -> readers(Table, Drawn, Readers, max(1, ?READ_MS div Divisor)) end.

count(Count, Divisor) -> max(1, Count div Divisor).

item(I) -> #{<<"id">> => I, <<"name">> => key(I), <<"x">> => I * 0.5, <<"flag">> => I band 1 =:= 1}.

key(I) -> <<"item-", (integer_to_binary(I))/binary>>.

filled() ->
    Table = ets:new(rows, [set, public, {read_concurrency, true}]),
    fill(Table, 0, ?KEYS),
    Table.

fill(_, Count, Count) -> ok;
fill(Table, I, Count) -> ets:insert(Table, {key(I), item(I)}), fill(Table, I + 1, Count).

%% Pairs of a number and its key, drawn at random but the same in each run.
drawn(Count) ->
    rand:seed(exsss, 4711),
    [{I, key(I)} || _ <- lists:seq(1, Count), I <- [rand:uniform(?KEYS) - 1]].

expect(Sum, Drawn) -> Sum = lists:sum([I || {I, _} <- Drawn]).

sum_of(_, [], Sum) -> Sum;
sum_of(Table, [{_, Key} | Rest], Sum) ->
    [{_, #{<<"id">> := Id}}] = ets:lookup(Table, Key),
    sum_of(Table, Rest, Sum + Id).

many(_, [], Sum) -> Sum;
many(Table, [Keys | Rest], Sum) ->
    Found = [Value || Key <- Keys, {_, Value} <- ets:lookup(Table, Key)],
    many(Table, Rest, lists:foldl(fun(#{<<"id">> := Id}, Total) -> Total + Id end, Sum, Found)).

split([]) -> [];
split(Drawn) ->
    {Call, Rest} = lists:split(?MANY, Drawn),
    [[Key || {_, Key} <- Call] | split(Rest)].

put_all(_, []) -> ok;
put_all(Table, [{I, Key} | Rest]) -> ets:insert(Table, {Key, item(I)}), put_all(Table, Rest).

%% Loads a new table, and swaps it for the one of that name.
reload(Count) ->
    Table = ets:new(fresh, [set, public, named_table, {read_concurrency, true}]),
    fill(Table, 0, Count),
    ets:delete(rows),
    rows = ets:rename(fresh, rows),
    ok.

readers(Table, Drawn, Readers, ReadMs) ->
    Self = self(),
    Writer = spawn_link(fun() -> write(Table, 0) end),
    Until = erlang:monotonic_time(millisecond) + ReadMs,
    [spawn_link(fun() -> Self ! {reads, read(Table, Drawn, Until, 0)} end) || _ <- lists:seq(1, Readers)],
    Reads = lists:sum([receive {reads, Count} -> Count end || _ <- lists:seq(1, Readers)]),
    unlink(Writer),
    exit(Writer, kill),
    Reads * 1000 / ReadMs.

read(Table, Drawn, Until, Count) ->
    expect(sum_of(Table, Drawn, 0), Drawn),
    case erlang:monotonic_time(millisecond) < Until of
        true -> read(Table, Drawn, Until, Count + length(Drawn));
        false -> Count + length(Drawn)
    end.

write(Table, I) ->
    ets:insert(Table, {key(I rem ?KEYS), item(I rem ?KEYS)}),
    timer:sleep(1),
    write(Table, I + 1).
