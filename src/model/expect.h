/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expectations kept beside a policy: NAME.test.json holds NAME.json to what it
 * promises. Used by `vrun policy test` and by the tests of the ready policies.
 *
 *	{
 *	  "with": ["db.json"],
 *	  "tests": [
 *	    { "expect": "allow", "connect": "db:5432" },
 *	    { "expect": "deny", "connect": "api.example.com:443", "resolved": "10.0.0.1" },
 *	    { "expect": "deny", "connect": "api.example.com:443", "tls": "evil.example" },
 *	    { "expect": "deny", "accept": ":8080", "from": "db" }
 *	  ]
 *	}
 */
#ifndef VRUN_MODEL_EXPECT_H
#define VRUN_MODEL_EXPECT_H

#include "model/policy_attempt.h"

enum expect_what { EXPECT_CONNECT, EXPECT_LISTEN, EXPECT_ACCEPT, EXPECT_RESOLVE };

struct expectation {
	bool allow;
	enum expect_what what;
	enum policy_proto proto;
	const char *target;   /* of "connect", "listen", "accept", "resolve" */
	const char *from;     /* of "accept" */
	const char *resolved; /* of "connect", or NULL */
	const char *tls;      /* the same; "": a ClientHello without a name */
	const char *type;     /* of "resolve": records of another type; or NULL */
	const char *rule;     /* id that must decide on this side, or NULL */
	size_t line;
};

struct expectations {
	struct arena arena;
	const char *file;
	const char **with; /* other policies of the fabric; paths relative to the file's directory */
	size_t n_with;
	struct expectation *v; /* one for each target: a list in the file becomes several */
	size_t n;
};

/* Reads a file. The caller calls expect_fini(). -EINVAL with file, line and path. */
int expect_load(struct expectations *x, int dirfd, const char *path, struct err *e);
int expect_read(struct expectations *ret_x, const struct json_doc *doc, struct err *e);
void expect_fini(struct expectations *x);

/* What was expected: "allow connect db:5432/tcp". Returns buf. */
const char *expect_text(const struct expectation *t, char *buf, size_t size);

/*
 * Decides one. 1 when it is as expected, 0 when not, -EINVAL when the attempt
 * itself makes no sense for these policies. ret_why says what was decided and
 * by what (EXPLAIN_TEXT_MAX bytes each side, joined).
 */
#define EXPECT_WHY_MAX 1600
int expect_decide(const struct expectation *t, const struct fabric *f, char ret_why[EXPECT_WHY_MAX],
		  struct err *e);

/* A file of expectations with the policies it is about, ready for expect_decide(). Do not move it. */
struct expect_set {
	struct expectations x;
	struct policy self, *others;
	const struct policy **list;
	size_t n_others;
	struct fabric fabric;
};

#define EXPECT_SUFFIX ".test.json"

/*
 * Loads DIR/NAME.test.json, DIR/NAME.json and what "with" names. `policy_path`
 * replaces DIR/NAME.json, or is NULL. The caller calls expect_set_fini().
 */
int expect_set_load(struct expect_set *s, const char *test_path, const char *policy_path,
		    struct err *e);
void expect_set_fini(struct expect_set *s);

#endif
