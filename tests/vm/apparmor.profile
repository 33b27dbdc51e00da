# SPDX-License-Identifier: Apache-2.0
# What oci.sh puts containers under: everything but one file.
profile vrun-test flags=(attach_disconnected,mediate_deleted) {
	capability,
	network,
	signal,
	ptrace,
	unix,
	file,
	deny /tmp/denied w,
}
