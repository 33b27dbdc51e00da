/* SPDX-License-Identifier: Apache-2.0 */
/* The program of the launch benchmark: linked statically, it exits at once. */
int main(void)
{
	return 0;
}
