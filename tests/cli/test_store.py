# SPDX-License-Identifier: MIT
"""slither store: what it prints, refuses, and leaves alone when something is wrong."""
import json
import random
import sqlite3
import unittest

import harness


class Store(harness.CommandTest):
    def store(self, verb: str, *arguments: str, expected: int = 0, **options) -> harness.Result:
        result = self.run_command("store", verb, *arguments, **options)
        self.status(result, expected)
        return result

    def write(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return name

    def rows(self, table: str = "t") -> list:
        return self.store("scan", "s", table).values

    # ---- put, get

    def test_put_and_get(self):
        self.store("put", "s", "t", "item-7", '{"price": 1.5}')
        self.store("put", "s", "t", "7", "seven")
        self.store("put", "s", "t", '"7"', "[1, null]")
        result = self.store("get", "s", "t", "item-7", "7", '"7"')
        self.assertEqual(result.out, b'{"price":1.5}\n"seven"\n[1,null]\n')
        self.assertEqual(result.err, "")

    def test_get_of_what_is_not_there(self):
        self.store("put", "s", "t", "a", "1")
        result = self.store("get", "s", "t", "b", "a", expected=1)
        self.assertEqual(result.values, [1])
        self.assertIn("there is no row with the key b in table 't'", result.err)

    def test_put_if_absent(self):
        self.store("put", "s", "t", "a", "1", "--if-absent")
        self.assertIn("has a row already", self.store("put", "s", "t", "a", "2", "--if-absent", expected=1).err)
        self.assertEqual(self.rows(), [["a", 1]])

    def test_keys_and_values_that_json_lacks(self):
        time = '{"$timestamp":"2026-01-31T12:00:00Z"}'
        self.store("put", "s", "t", '{"$bytes": "YQ=="}', time)
        self.store("put", "s", "t", time, '{"$map": [[1, "one"]]}')
        self.assertEqual(self.store("get", "s", "t", '{"$bytes":"YQ=="}').out.decode(), time + "\n")
        self.assertEqual(self.store("get", "s", "t", time).values, [{"1": "one"}])
        self.assertIn("base64", self.store("put", "s", "t", "a", '{"$bytes": "?"}', expected=3).err)
        self.assertIn("base64", self.store("get", "s", "t", '{"$bytes": "?"}', expected=3).err)

    def test_delete(self):
        for key in ("a", "b", "7"):
            self.store("put", "s", "t", key, "1")
        self.assertEqual(self.store("delete", "s", "t", "a", "7").out, b"")
        self.assertEqual(self.rows(), [["b", 1]])
        missing = self.store("delete", "s", "t", "a", "b", expected=1)
        self.assertIn("there is no row with the key a in table 't'", missing.err)
        self.assertEqual(self.rows(), [])

    def test_delete_of_all_or_nothing(self):
        for value in ("1", "2"):
            self.store("put", "s", "t", "a", value, "--kind", "bag")
        self.assertIn("a map cannot be a key", self.store("delete", "s", "t", "a", "{}", expected=3).err)
        self.assertEqual(self.rows(), [["a", 1], ["a", 2]])
        self.store("delete", "s", "t", "a")
        self.assertEqual(self.rows(), [])
        self.assertIn("nothing", self.store("delete", "s", "nothing", "a", expected=3).err)
        self.assertIn("no store", self.store("delete", "nowhere", "t", "a", expected=3).err)
        self.assertFalse((self.folder / "nowhere").exists())

    def test_bag(self):
        for value in ("1", "2", "1"):
            self.store("put", "s", "t", "a", value, "--kind", "bag")
        self.assertEqual(self.store("get", "s", "t", "a").values, [[1, 2]])
        self.assertEqual(self.rows(), [["a", 1], ["a", 2]])
        self.assertIn("bag", self.store("put", "s", "t", "a", "3", "--kind", "set", expected=3).err)

    # ---- scan, ls, stat

    def test_scan(self):
        for key in ("b", "a", "10", "9", "[1, 2]", "ab"):
            self.store("put", "s", "t", key, "0")
        self.assertEqual([key for key, _ in self.rows()], [9, 10, "a", "ab", "b", [1, 2]])
        self.assertEqual([key for key, _ in self.store("scan", "s", "t", "--prefix", "a").values], ["a", "ab"])
        self.assertEqual([key for key, _ in self.store("scan", "s", "t", "--from", "10", "--to", "b").values], [10, "a", "ab"])
        self.assertEqual([key for key, _ in self.store("scan", "s", "t", "--backward", "-n", "2").values], [[1, 2], "b"])

    def test_ls_and_stat(self):
        self.store("put", "s", "prices", "a", "1")
        self.store("put", "s", "bags", "a", "1", "--kind", "bag")
        tables = self.store("ls", "s").values
        self.assertEqual([(table["table"], table["kind"], table["rows"]) for table in tables], [("bags", "bag", 1), ("prices", "set", 1)])
        stat = self.store("stat", "s").values[0]
        self.assertEqual(stat["tables"], 2)
        self.assertGreater(stat["bytes_used"], 0)
        self.assertEqual(stat["bytes_max"], 1 << 30)

    # ---- load, dump

    def test_load_csv(self):
        self.write("prices.csv", 'id,price,note\r\n1,2.5,"a, b"\r\n2,,x\r\n')
        self.assertIn("2 rows", self.store("load", "s", "t", "prices.csv", "--infer").err)
        self.assertEqual(self.rows(), [[1, {"id": 1, "price": 2.5, "note": "a, b"}], [2, {"id": 2, "price": None, "note": "x"}]])
        self.store("load", "s", "t", "prices.csv", "--key", "note", "--value", "price")
        self.assertEqual(self.rows(), [["a, b", "2.5"], ["x", ""]])

    def test_load_sqlite(self):
        with sqlite3.connect(self.path("users.db")) as database:
            database.execute("CREATE TABLE users (name, age)")
            database.executemany("INSERT INTO users VALUES (?, ?)", [("ann", 30), ("bob", None)])
        self.store("load", "s", "t", "users.db", "--sql", "SELECT name, age FROM users", "--value", "age")
        self.assertEqual(self.rows(), [["ann", 30], ["bob", None]])
        self.assertIn("--sql", self.store("load", "s", "t", "users.db", expected=2).err)

    def test_load_takes_the_place_of_the_rows(self):
        self.store("put", "s", "t", "old", "1")
        self.write("rows.ndjson", '{"key": "new", "value": 2}\n')
        self.store("load", "s", "t", "rows.ndjson", "--add")
        self.assertEqual(self.rows(), [["new", 2], ["old", 1]])
        self.store("load", "s", "t", "rows.ndjson")
        self.assertEqual(self.rows(), [["new", 2]])

    def test_a_bad_row_leaves_the_table(self):
        self.store("put", "s", "t", "old", "1")
        for arguments, text, problem in (
            (("rows.ndjson",), '{"key": 1, "value": 2}\n{"key": 3}\n', "rows.ndjson:2: the object has no member 'value'"),
            (("rows.ndjson", "--add"), '{"key": 1, "value": 2}\n{"key"\n', "rows.ndjson:2: invalid JSON at column"),
            (("rows.csv",), "a,b\n1,2\n1,2,3\n", "rows.csv:3: expected 2 fields"),
            (("rows.csv", "--key", "c"), "a,b\n", "there is no column 'c'; there are: a, b"),
            (("rows.ndjson",), '{"key": {}, "value": 2}\n', "a map cannot be a key"),
            (("missing.csv",), None, "missing.csv cannot be opened"),
        ):
            with self.subTest(arguments):
                if text is not None:
                    self.write(arguments[0], text)
                result = self.store("load", "s", "t", *arguments, expected=3)
                self.assertIn(problem, result.err)
                self.assertEqual(self.rows(), [["old", 1]])

    def test_dump_and_load(self):
        seed = random.randrange(1 << 32)
        print("seed", seed)
        draw = random.Random(seed)
        values = [None, True, 0, -1, 2**53 + 1, 0.1, 1e300, "", "h\u00e9 \U0001f600", [], {}, [[{"a": [1, None]}]]]
        keys = {json.dumps(key) for key in
                [draw.choice([draw.randrange(-10**6, 10**6), draw.random(), "k%d" % draw.randrange(1000), [1, "x", draw.randrange(9)]])
                 for _ in range(500)]}
        lines = [{"key": json.loads(key), "value": draw.choice(values)} for key in keys]
        self.store("load", "s", "t", "-", input=harness.ndjson(lines))
        dumped = self.store("dump", "s", "t").out
        self.assertEqual(len(dumped.splitlines()), len(lines))
        self.store("load", "other", "t", "-", input=dumped)
        self.assertEqual(self.store("dump", "other", "t").out, dumped)
        self.assertEqual({json.dumps(line, sort_keys=True) for line in lines},
                         {json.dumps(json.loads(line), sort_keys=True) for line in dumped.decode().splitlines()})

    def test_dump_and_load_lose_nothing(self):
        values = [
            'null', 'true', '-9223372036854775808', '{"$uint":"18446744073709551615"}', '1.0', '-0.0', '1', '{"$float":"nan"}',
            '{"$float":"inf"}', '{"$float":"-inf"}', '"a\\u0000b"', '{"$bytes":"/+8="}', '{"$timestamp":"2024-02-29T12:30:15.250Z"}',
            '{"$timestamp":{"seconds":253402300800,"nanoseconds":1}}', '{"$array":{"dtype":"i16","shape":[2,1],"data":"AQACAA=="}}',
            '{"$ref":{"session":1,"object":2,"worker":3,"generation":4,"type":"T","repr":"<T>"}}', '[]', '{}',
            '{"a":[{"$bytes":"YQ=="}]}', '{"$map":[[1,"a"],["1","b"],[null,{"$bytes":""}]]}', '{"$map":[["$bytes","YQ=="]]}',
        ]
        keys = ['null', 'false', '0', '2.5', '9007199254740993', '"text"', '{"$bytes":"AP8="}', '[[1,"a"],{"$bytes":"YQ=="}]',
                '{"$timestamp":"1970-01-01T00:00:00.000000001Z"}']
        lines = ['{"key":%d,"value":%s}' % (number, value) for number, value in enumerate(values)]
        self.store("load", "s", "values", "-", input="".join(line + "\n" for line in lines).encode())
        dumped = self.store("dump", "s", "values").out.decode()
        self.assertEqual(dumped.splitlines(), lines)
        self.store("load", "copy", "values", "-", input=dumped.encode())
        self.assertEqual(self.store("dump", "copy", "values").out.decode(), dumped)
        lines = ['{"key":%s,"value":1}' % key for key in keys]
        self.store("load", "s", "keys", "-", input="".join(line + "\n" for line in lines).encode())
        dumped = self.store("dump", "s", "keys").out.decode()
        self.assertEqual(sorted(dumped.splitlines()), sorted(lines))
        self.store("load", "copy", "keys", "-", input=dumped.encode())
        self.assertEqual(self.store("dump", "copy", "keys").out.decode(), dumped)

    def test_load_of_what_others_wrote(self):
        self.write("rows.ndjson", '{"key": 1, "value": {"$bytes": "?"}}\n')
        self.assertIn("rows.ndjson:1: ", self.store("load", "s", "t", "rows.ndjson", expected=3).err)
        self.store("load", "s", "t", "rows.ndjson", "--literal")
        self.assertEqual(self.rows(), [[1, {"$bytes": "?"}]])
        self.assertEqual(self.store("dump", "s", "t").out, b'{"key":1,"value":{"$map":[["$bytes","?"]]}}\n')

    # ---- refusals

    def test_refusals(self):
        self.store("put", "s", "t", "a", "1")
        for arguments, status, problem in (
            ((), 2, "expected ls, stat, get, put, delete"),
            (("lss", "s"), 2, "did you mean 'ls'?"),
            (("get", "s", "t"), 2, "expected: slither store get STORE TABLE KEY..."),
            (("put", "s", "t", "a"), 2, "expected: slither store put STORE TABLE KEY VALUE"),
            (("ls", "nowhere"), 3, "nowhere"),
            (("scan", "s", "nothing"), 3, "nothing"),
            (("get", "s", "t", "{}"), 3, "a map cannot be a key"),
            (("put", "s", "t", "a", "1", "--pid", "1"), 2, "takes no --pid"),
            (("ls", "s", "--pid", "4194304"), 3, "there is no such process"),
        ):
            with self.subTest(arguments):
                result = self.run_command("store", *arguments)
                self.status(result, status)
                self.assertEqual(result.out, b"")
                self.assertIn(problem, result.err)
        self.assertFalse((self.folder / "nowhere").exists())

    def test_what_is_no_store(self):
        (self.folder / "s").mkdir()
        (self.folder / "s" / "data.mdb").write_bytes(b"no store" * 10000)
        self.assertIn("s", self.store("ls", "s", expected=3).err)
        self.store("put", "s", "t", "a", "1", expected=3)
        self.assertEqual((self.folder / "s" / "data.mdb").read_bytes(), b"no store" * 10000)

    def test_a_reader_that_goes_away(self):
        self.store("load", "s", "t", "-", input=harness.ndjson({"key": i, "value": "x" * 100} for i in range(20000)))
        process = self.start("store", "scan", "s", "t")
        self.assertEqual(process.stdout.readline(), b'[0,"' + b"x" * 100 + b'"]\n')
        process.stdout.close()
        self.assertEqual(process.wait(harness.LIMIT_S), 141)

    def test_a_store_that_another_process_has_open(self):
        fifo = self.fifo("rows")
        self.store("put", "s", "t", "old", "1")
        loading = self.start("store", "load", "s", "t", fifo)
        with open(fifo, "wb") as rows:  # the loader has opened it: the store is open, and the reload not done
            rows.write(b'{"key": "new", "value": 2}\n')
            rows.flush()
            self.wait_until_open(loading)
            result = self.store("put", "s", "t", "a", "1", expected=3)
            self.assertIn(str(loading.pid), result.err)
            self.assertEqual(self.rows(), [["old", 1]])
            self.assertEqual(self.store("scan", "s", "t", "--pid", str(loading.pid)).values, [["old", 1]])
            wrong = self.store("scan", "x", "t", "--pid", str(loading.pid), expected=3)
            self.assertIn("has no store 'x' open; it has: s", wrong.err)
        self.status(self.finish(loading), 0)
        self.assertEqual(self.rows(), [["new", 2]])

    def wait_until_open(self, process):
        """Until the process has the store mapped: it opens the file of rows before."""
        while process.poll() is None:
            if self.run_command("store", "ls", "s", "--pid", str(process.pid)).status == 0:
                return
        self.fail("the command ended too early")


if __name__ == "__main__":
    harness.main()
