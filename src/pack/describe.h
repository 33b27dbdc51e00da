/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of manifest.json that describe.c puts together. New references. */
#ifndef VRUN_PACK_DESCRIBE_H
#define VRUN_PACK_DESCRIBE_H

#include <jansson.h>

#include "pack/pack.h"

json_t *describe_system(const struct pack *p);
json_t *describe_needs(const struct pack *p);

/* Fills in p->needs. */
void describe_find_needs(struct pack *p);

#endif
