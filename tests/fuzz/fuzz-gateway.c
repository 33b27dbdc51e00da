/* SPDX-License-Identifier: Apache-2.0 */
/* What a supervisor sends to a gateway: whatever is let through is what the policy allows. */
#include <stdlib.h>
#include <string.h>

#include "gate/gate.h"
#include "model/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] = "{\"version\":1,\"net\":{\"rules\":["
			   "{\"allow\":\"connect\",\"to\":[\"192.0.2.0/24:80\",\"*.example.com:443\",\"host:8080\"]},"
			   "{\"deny\":\"connect\",\"to\":\"192.0.2.7:*\"},"
			   "{\"allow\":\"listen\",\"at\":\":80\",\"from\":\"host\",\"publish\":\"127.0.0.1:18080\"},"
			   "{\"allow\":\"listen\",\"at\":\":53\",\"proto\":\"udp\",\"from\":\"host\",\"publish\":\"127.0.0.1:15353\"}]}}";

static const struct prefix allowed = { { { [10] = 0xff, 0xff, 192, 0, 2 } }, 120 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gate_text policy;
	static struct gate g;
	const struct addr denied = addr_v4(192, 0, 2, 7);
	struct gateway_request r;
	uint8_t message[sizeof r] = { 0 };
	struct json_doc doc;

	if (!g.text) {
		if (json_doc_parse(&doc, "policy", text, sizeof text - 1, NULL) < 0 ||
		    policy_read(&policy.policy, &doc, NULL, NULL) < 0)
			abort();
		json_doc_fini(&doc);
		g.text = &policy;
	}
	/* Short ones stand for whole ones, or none would ever be. */
	memcpy(message, data, size < sizeof message ? size : sizeof message);
	if (!gateway_request_good(message, sizeof message, &r))
		return 0;
	if (gateway_request_good(message, sizeof message - 1, &r))
		abort();
	if (r.kind == GATEWAY_CONNECT && gate_decide(&g, &r, POLICY_TCP, &r.addr) == GATE_ALLOWED) {
		if (r.to == GATEWAY_TO_ADDRESS &&
		    (r.port != 80 || !prefix_match(&allowed, &r.addr) || addr_equal(&r.addr, &denied)))
			abort();
		if (r.to == GATEWAY_TO_NAME && (r.port != 443 || !name_is_below(r.name, "example.com") ||
						addr_kind(&r.addr) != ADDR_PUBLIC))
			abort();
		if (r.to == GATEWAY_TO_HOST && r.port != 8080)
			abort();
	}
	if (r.kind == GATEWAY_RESOLVE && gate_may_know(&g, r.name, &r.addr) &&
	    (!gate_may_look_up(&g, r.name) || !name_is_below(r.name, "example.com")))
		abort();
	if (r.kind == GATEWAY_PUBLISH && gate_publishes(&g, POLICY_TCP, &r.addr, r.port, r.local_port) &&
	    (r.port != 18080 || r.local_port != 80))
		abort();
	if (r.kind == GATEWAY_BIND && gate_publishes(&g, POLICY_UDP, &r.addr, r.port, r.local_port) &&
	    (r.port != 15353 || r.local_port != 53))
		abort();
	return 0;
}
