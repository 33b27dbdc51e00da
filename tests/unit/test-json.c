/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>

#include "model/json.h"
#include "tap.h"

static const char text[] = "{\n"
			   "  \"a\": { \"x\": [1, {\"y\": \"]\\\"}\"}, 3] },\n"
			   "  \"n\": null, \"b\": true,\n"
			   "  \"s\": \"text\",\n"
			   "  \"addres\": 5\n"
			   "}\n";

/* Integers that do not fit in 63 bits: RLIM_INFINITY and its neighbours. */
static void test_big(void)
{
	static const char big[] = "{\"s\": \"18446744073709551615 \\\\\",\n"
				  "\"max\": 18446744073709551615, \"min\": 9223372036854775808,\n"
				  "\"mid\": 9999999999999999999, \"neg\": -1, \"low\": -9223372036854775808}";
	static const char taken[] = "{\"a\": 18446744073709551615, \"b\": -900000000000000000}";
	static const char beside[] = "{\"a\": 18446744073709551615, \"b\": -900000000000000001}";
	static const char wide[] = "{\"a\": 18446744073709551616}";
	struct json_doc doc;
	struct err e = { 0 };
	struct jat root;
	const char *s;
	uint64_t u = 0;
	int64_t i = 7;

	TAP_INT(json_doc_parse(&doc, "b.json", wide, strlen(wide), &e), -EINVAL, "2^64 is refused");
	TAP_INT(json_doc_parse(&doc, "b.json", taken, strlen(taken), &e), -EINVAL,
		"an integer that would be taken for a big one is refused");
	TAP_INT(json_doc_parse(&doc, "b.json", beside, strlen(beside), &e), 0, "its neighbour is not");
	root = json_root(&doc);
	TAP_INT(json_get_int(&root, "b", INT64_MIN, 0, &i, &e), 1, "and is read");
	TAP_INT(i, -900000000000000001, "as what it is");
	json_doc_fini(&doc);
	if (!TAP_OK(json_doc_parse(&doc, "b.json", big, strlen(big), &e) == 0, "big integers parse"))
		return;
	root = json_root(&doc);
	TAP_INT(json_get_uint(&root, "max", UINT64_MAX, &u, &e), 1, "2^64-1");
	TAP_OK(u == UINT64_MAX, "has its value");
	TAP_INT(json_get_uint(&root, "min", UINT64_MAX, &u, &e), 1, "2^63");
	TAP_OK(u == (uint64_t)INT64_MAX + 1, "has its value");
	TAP_INT(json_get_uint(&root, "mid", UINT64_MAX, &u, &e), 1, "19 nines");
	TAP_OK(u == 9999999999999999999ULL, "have their value");
	TAP_INT(json_get_uint(&root, "neg", UINT64_MAX, &u, &e), -EINVAL, "-1 is no unsigned number");
	TAP_STR(e.text, "b.json:3: neg: -1 is out of range (0 to 18446744073709551615)", "and named");
	TAP_INT(json_get_uint(&root, "max", 5, &u, &e), -EINVAL, "a bound holds for a big one");
	TAP_STR(e.text, "b.json:2: max: 18446744073709551615 is out of range (0 to 5)", "and named");
	TAP_INT(json_get_int(&root, "max", -9, 9, &i, &e), -EINVAL, "a big one is not taken for -1");
	TAP_STR(e.text, "b.json:2: max: 18446744073709551615 is out of range (-9 to 9)", "and named");
	TAP_INT(json_get_int(&root, "neg", -9, 9, &i, &e), 1, "-1 beside big ones");
	TAP_INT(i, -1, "keeps its value");
	TAP_INT(json_get_int(&root, "low", INT64_MIN, 9, &i, &e), 1, "the lowest");
	TAP_OK(i == INT64_MIN, "keeps its value");
	TAP_INT(json_get_string(&root, "s", &s, &e), 1, "a string of digits");
	TAP_STR(s, "18446744073709551615 \\", "is left alone");
	json_doc_fini(&doc);
}

int main(void)
{
	static const char *const known[] = { "a", "n", "b", "s", "address", NULL };
	static const char nested[] = "{\"y\": {\"k\": [1, 2]}, \"x\": [\"]\\\"\",\n"
				     " {\"b\": 0, \"c\\u001b\": {\"to\": [{}, 1], \"u\": {},\n"
				     " \"to\": 2}}]}";
	static const char over[] = "[\n{\n},\n\n[\"\\n\",\n1]\n, 3]";
	struct json_doc doc, other;
	struct jat root, a, x, el, m;
	struct err e = { 0 };
	const char *str = "untouched";
	char path[64];
	size_t col, lines[3];
	int64_t n = 0;
	bool b = false;

	if (!TAP_OK(json_doc_parse(&doc, "t.json", text, strlen(text), &e) == 0, "parses"))
		return tap_done();
	root = json_root(&doc);
	TAP_INT(json_expect_object(&root, &e), 0, "the root is an object");
	TAP_INT(json_get_object(&root, "a", &a, &e), 1, "a is an object");
	TAP_INT(json_get_array(&a, "x", &x, &e), 1, "a.x is an array");
	TAP_OK(json_element(&x, 2, &el), "third element");
	TAP_STR(json_path(&el, path, sizeof path), "a.x[2]", "path of an element");
	TAP_INT(json_line(&el, &col), 2, "line of an element behind a string with brackets");
	TAP_INT(col, 34, "its column");
	TAP_OK(!json_element(&x, 3, &el), "no fourth element");
	json_element_lines(&x, 3, lines);
	TAP_OK(lines[0] == 2 && lines[1] == 2 && lines[2] == 2, "lines of all elements");
	TAP_INT(json_get_bool(&root, "b", &b, &e), 1, "a boolean");
	TAP_OK(b, "its value");
	TAP_INT(json_get_int(&root, "n", 0, 9, &n, &e), 0, "null counts as absent");
	TAP_INT(json_get_string(&root, "addres", &str, &e), -EINVAL, "wrong type");
	TAP_STR(e.text, "t.json:5: addres: expected a string, found an integer", "and named");
	TAP_STR(str, "untouched", "the output stays");
	TAP_INT(json_get_int(&root, "addres", 0, 4, &n, &e), -EINVAL, "out of range");
	TAP_HAS(e.text, "5 is out of range (0 to 4)", "and named");
	TAP_INT(e.line, 5, "with its line");
	TAP_INT(e.col, 13, "and column");
	TAP_INT(json_known_keys(&root, known, &e), -EINVAL, "an unknown key");
	TAP_STR(e.text, "t.json:5: addres: unknown key \"addres\"", "and named");
	TAP_STR(e.hint, "did you mean \"address\"?", "with the nearest known one");
	TAP_INT(e.col, 3, "placed at the key");
	TAP_INT(json_member(&root, "zz", &m), 0, "an absent member");
	TAP_INT(json_line(&m, NULL), 6, "is placed at the end of its object");
	json_doc_fini(&doc);

	if (TAP_OK(json_doc_parse(&other, "l.json", over, strlen(over), &e) == 0,
		   "an array over several lines")) {
		root = json_root(&other);
		json_element_lines(&root, 3, lines);
		TAP_INT(lines[0], 2, "line of its first element");
		TAP_INT(lines[1], 5, "of its second");
		TAP_INT(lines[2], 7, "of its third");
		json_doc_fini(&other);
	}
	TAP_INT(json_doc_parse(&other, "d.json", "{\"a\":1,\n\"a\":2}", 14, &e), -EINVAL, "duplicate keys");
	TAP_STR(e.text, "d.json:2: a: duplicate key", "are placed");
	TAP_INT(json_doc_parse(&other, "d.json", nested, strlen(nested), &e), -EINVAL,
		"duplicate keys further in");
	TAP_STR(e.text, "d.json:3: x[1].c\\x1b.to: duplicate key", "are placed with their path");
	TAP_INT(e.col, 2, "and column");
	TAP_INT(json_doc_parse(&other, "d.json", "{\"a\":\"\\u0000\"}", 14, &e), -EINVAL,
		"a NUL in a string");
	TAP_STR(e.text, "d.json:1:13: not valid JSON: a string has a NUL character (\\u0000)", "is said in our words");
	TAP_INT(json_doc_parse(&other, "d.json", "{\"a\":10\0}", 9, &e), -EINVAL, "a raw NUL byte");
	TAP_INT(json_doc_parse(&other, "d.json", "", 0, &e), -EINVAL, "an empty file");
	TAP_INT(json_doc_parse(&other, "d.json", "{} x", 4, &e), -EINVAL, "trailing text");
	TAP_INT(json_doc_load(&other, AT_FDCWD, "/nonexistent", NULL, &e), -ENOENT, "a missing file");
	test_big();
	TAP_OK(json_nearest("q", known) == NULL, "a single letter suggests nothing");
	return tap_done();
}
