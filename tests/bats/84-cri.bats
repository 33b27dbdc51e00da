#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# bats file_tags=identity:root
#
# Kubernetes' way to a RuntimeClass: containerd's CRI plugin with the part of its configuration that is in
# bundle-spec/engines, called as a kubelet calls it (cri.py). Pods have a network that a CNI plugin makes.

bats_require_minimum_version 1.5.0
load helper
load internet

setup()
{
	helper_setup
	need_command containerd ctr busybox jq
	/usr/bin/python3 -c 'import grpc' 2>/dev/null || unsupported "python3-grpcio is not installed"
	[[ -x /usr/lib/cni/ptp ]] || unsupported "containernetworking-plugins is not installed"
	mkdir -p "$T/cd" "$T/cni" "$T/logs" "$T/var" "$T/work"
	cd "$T/work" || return 1
	internet_start
	# The pods' network is the machine's to forward, and known outside.
	on_host sysctl -qw net.ipv4.ip_forward=1
	on_servers ip route add 10.99.7.0/24 via 198.51.100.2
	configure
	# What CNI keeps of its networks is seen there alone.
	# shellcheck disable=SC2016 # for the shell inside
	spawn containerd on_host sh -c 'mkdir -p /var/lib/cni && mount --bind "$0/var" /var/lib/cni && exec containerd -c "$0/cd/config.toml"' "$T" </dev/null
	wait_path "$T/cd/sock"
	make_image
}

teardown()
{
	local id

	for id in ${CONTAINERS-}; do
		call RemoveContainer "{\"containerId\": \"$id\"}" >/dev/null 2>&1 || :
	done
	for id in ${PODS-}; do
		end_pod "$id" >/dev/null 2>&1 || :
	done
	if [[ -n ${PID[containerd]-} ]]; then
		kill "${PID[containerd]}"
		wait "${PID[containerd]}" 2>/dev/null || :
	fi
	unset 'PID[containerd]'
	[[ -z ${PID[internet]-} ]] || internet_stop
	find /sys/fs/cgroup -depth -type d -path "*/$MARK*" -exec rmdir {} + 2>/dev/null || :
	helper_teardown
}

configure()
{
	local runtime='io.containerd.grpc.v1.cri".containerd.runtimes'

	{
		cat <<-END
			root = "$T/cd/root"
			state = "$T/cd/state"
			disabled_plugins = ["io.containerd.internal.v1.opt"]
		END
		sed "s|BinaryName = .*|BinaryName = \"$VRUN\"\n  Root = \"$T/run/oci\"|" "$TOP/bundle-spec/engines/containerd.toml"
		cat <<-END
			[plugins."$runtime.runc]
			  runtime_type = "io.containerd.runc.v2"
			[grpc]
			  address = "$T/cd/sock"
			[plugins."io.containerd.grpc.v1.cri"]
			  sandbox_image = "box.example/box:1"
			  netns_mounts_under_state_dir = true
			  disable_apparmor = true
			  restrict_oom_score_adj = true
			[plugins."io.containerd.grpc.v1.cri".containerd]
			  snapshotter = "native"
			[plugins."io.containerd.grpc.v1.cri".cni]
			  bin_dir = "/usr/lib/cni"
			  conf_dir = "$T/cni"
		END
	} >"$T/cd/config.toml"
	cat >"$T/cni/10-pods.conflist" <<-END
		{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipam": {"type": "host-local",
		  "dataDir": "$T/ipam", "subnet": "10.99.7.0/24", "routes": [{"dst": "0.0.0.0/0"}]}}]}
	END
}

blob() # FILE TYPE
{
	local sum

	sum=$(sha256sum "$1" | cut -d ' ' -f 1)
	mv "$1" "$T/image/blobs/sha256/$sum"
	printf '{"digest": "sha256:%s", "size": %s, "mediaType": "%s"}' "$sum" "$(stat -c %s "$T/image/blobs/sha256/$sum")" "$2"
}

# One image for containers and for what holds a pod's namespaces.
make_image()
{
	local layer config manifest arch=amd64

	[[ $(uname -m) == x86_64 ]] || arch=arm64
	make_rootfs "$T/rootfs"
	mkdir -p "$T/image/blobs/sha256"
	tar -C "$T/rootfs" --owner 0 --group 0 -cf "$T/layer" .
	jq -n --arg id "sha256:$(sha256sum "$T/layer" | cut -d ' ' -f 1)" --arg arch "$arch" --arg mark "VRUN_TEST_MARK=$MARK" \
		'{architecture: $arch, os: "linux", config: {Env: ["PATH=/bin", $mark], Cmd: ["sleep", "1000"]},
			rootfs: {type: "layers", diff_ids: [$id]}}' >"$T/config"
	layer=$(blob "$T/layer" application/vnd.oci.image.layer.v1.tar)
	config=$(blob "$T/config" application/vnd.oci.image.config.v1+json)
	printf '{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": %s, "layers": [%s]}' "$config" "$layer" >"$T/manifest"
	manifest=$(blob "$T/manifest" application/vnd.oci.image.manifest.v1+json)
	jq -n --argjson m "$manifest" '{schemaVersion: 2, manifests: [$m + {annotations: {"io.containerd.image.name": "box.example/box:1"}}]}' >"$T/image/index.json"
	echo '{"imageLayoutVersion": "1.0.0"}' >"$T/image/oci-layout"
	tar -C "$T/image" -cf "$T/image.tar" .
	timeout 60 ctr -a "$T/cd/sock" -n k8s.io image import --snapshotter native "$T/image.tar" >/dev/null
	rm -rf "$T/image" "$T/image.tar" "$T/rootfs"
}

call() # METHOD JSON
{
	timeout 90 /usr/bin/python3 "$BATS_TEST_DIRNAME/cri.py" "$T/cd/sock" "$@"
}

# A pod as a kubelet asks for it; its id in $REPLY, its configuration in $POD. network: 0 is its own, 2 the machine's.
run_pod() # NAME ANNOTATIONS [NETWORK]
{
	POD=$(jq -n --arg name "$MARK-$1" --argjson notes "$2" --argjson network "${3-0}" --arg logs "$T/logs" --arg group "/$MARK" '{
		metadata: {name: $name, uid: $name, namespace: "default", attempt: 0}, logDirectory: $logs,
		dnsConfig: {servers: ["198.51.100.53"], searches: ["default.svc.cluster.example"], options: ["ndots:5"]},
		annotations: $notes,
		linux: {cgroupParent: $group, securityContext: {namespaceOptions: {network: $network, pid: 1, ipc: 0}}}} + if $network == 0 then {hostname: "pod"} else {} end')
	REPLY=$(call RunPodSandbox "$(jq -n --argjson pod "$POD" '{config: $pod, runtimeHandler: "vrun"}')")
	REPLY=$(jq -r .podSandboxId <<<"$REPLY")
	PODS+=" $REPLY"
}

# A container of the last pod that runs a script, with one stream for all that it says; its id in $REPLY.
start_container() # POD NAME SCRIPT
{
	REPLY=$(call CreateContainer "$(jq -n --argjson pod "$POD" --arg id "$1" --arg name "$2" --arg script "exec 2>&1; $3" '{
		podSandboxId: $id, sandboxConfig: $pod, config: {
			metadata: {name: $name}, image: {image: "box.example/box:1"}, command: ["sh", "-c", $script],
			logPath: ($name + ".log"), annotations: {"org.vrun.test": "x"},
			linux: {resources: {memoryLimitInBytes: 67108864}, securityContext: {
				namespaceOptions: $pod.linux.securityContext.namespaceOptions,
				maskedPaths: ["/proc/kcore"], readonlyPaths: ["/proc/sys"]}}}}')")
	REPLY=$(jq -r .containerId <<<"$REPLY")
	CONTAINERS+=" $REPLY"
	call StartContainer "{\"containerId\": \"$REPLY\"}" >/dev/null
}

end_pod() # ID
{
	call StopPodSandbox "{\"podSandboxId\": \"$1\"}" && call RemovePodSandbox "{\"podSandboxId\": \"$1\"}"
}

pod_address() # ID
{
	call PodSandboxStatus "{\"podSandboxId\": \"$1\"}" | jq -r .status.network.ip
}

# What a container has written, without the stamps of containerd's lines.
said() # NAME
{
	sed 's/^[^ ]* std[a-z]* [FP] //' "$T/logs/$1.log"
}

has_said() # NAME TEXT
{
	said "$1" | grep -qxF "$2"
}

in_state() # CONTAINER NUMBER
{
	[[ $(call ContainerStatus "{\"containerId\": \"$1\"}" | jq -r .status.state) == "$2" ]]
}

@test "a kubelet's calls run pods and containers under the handler vrun" {
	local pod one

	run call RunPodSandbox '{"config": {"metadata": {"name": "x", "uid": "x", "namespace": "x"}}, "runtimeHandler": "no-such"}'
	assert_not_equal "$status" 0
	assert_contains "$output" no-such

	run_pod one '{}'
	pod=$REPLY
	assert_equal "$(call PodSandboxStatus "{\"podSandboxId\": \"$pod\"}" | jq -c '[.status.state // 0, .status.runtimeHandler]')" '[0,"vrun"]'
	assert_equal "$("$VRUN" --root "$T/run/oci/k8s.io" state "$pod" | jq -r .status)" running
	start_container "$pod" main 'hostname; cat /proc/self/attr/current 2>/dev/null; grep Seccomp: /proc/self/status; nc -w 30 192.0.2.10 80 </dev/null; trap "exit 5" TERM; while :; do sleep 1; done'
	one=$REPLY
	wait_until has_said main "nc: socket: Permission denied" # no policy, no network, whatever the pod has
	assert_equal "$(said main | head -n 1)" pod
	assert_contains "$(said main)" $'Seccomp:\t2'
	in_state "$one" 1
	run -0 call ExecSync "{\"containerId\": \"$one\", \"cmd\": [\"sh\", \"-c\", \"echo out; exit 3\"]}"
	assert_equal "$(jq -c '[.stdout, .exitCode]' <<<"$output")" '["out\n",3]'
	run -0 call UpdateContainerResources "{\"containerId\": \"$one\", \"linux\": {\"memoryLimitInBytes\": 33554432}}"
	assert_equal "$("$VRUN" --root "$T/run/oci/k8s.io" events --stats "$one" | jq .data.memory.usage.limit)" 33554432
	run -0 call ContainerStats "{\"containerId\": \"$one\"}"
	assert_matches "$(jq .stats.memory.workingSetBytes.value <<<"$output")" '^[1-9]'
	run -0 call StopContainer "{\"containerId\": \"$one\", \"timeout\": 20}"
	in_state "$one" 2
	assert_equal "$(call ContainerStatus "{\"containerId\": \"$one\"}" | jq .status.exitCode)" 5
	run -0 call RemoveContainer "{\"containerId\": \"$one\"}"

	# One that never starts says why.
	POD=$(jq '.annotations = {"org.vrun.policy": "{\"version\": 9}"}' <<<"$POD")
	run start_container "$pod" worse 'true'
	assert_not_equal "$status" 0
	assert_contains "$output" version
	run -0 end_pod "$pod"
	assert_equal "$(find "$T/run/oci" -name '*.json' ! -path '*/filters*')" ""
}

@test "a pod's policy holds in the network that the engine has made" {
	local policy client server address

	zone '{"web.example.com": {"A": ["192.0.2.10"]}, "evil.example.net": {"A": ["192.0.2.99"]}}'
	policy=$(jq -n '{"org.vrun.policy": ({version: 1, domain: "shop", net: {rules: [
		{allow: "connect", to: "web.example.com:80"},
		{allow: "listen", at: ":8080", from: "10.99.7.0/24", publish: "0.0.0.0:8080"}]}} | tojson)}')
	run_pod shop "$policy"
	server=$REPLY
	start_container "$server" shop 'cat /etc/resolv.conf; ls /sys/class/net
		address=$(nslookup -type=a web.example.com 2>/dev/null | sed -n "/^Name/,\$s/^Address[^:]*: //p")
		echo "web $(nc ${address:-0.0.0.0} 80 </dev/null 2>&1)"
		nslookup evil.example.net 2>&1 | grep -o NXDOMAIN | sort -u
		nc 192.0.2.99 80 </dev/null 2>&1; echo ready
		while :; do echo hello | nc -l -p 8080; done'
	wait_until has_said shop ready || fail "$(said shop)" "$(tail -n 5 "$T/containerd.err")"
	address=$(pod_address "$server")
	assert_equal "$(said shop)" "nameserver 127.0.0.53
options timeout:2 attempts:2
lo
web 192.0.2.10 80 from $address
NXDOMAIN
nc: can't connect to remote host (192.0.2.99): Permission denied
ready"
	assert_equal "$(<"$T/questions")" "A web.example.com"
	# At the pod's address there is what the policy publishes.
	wait_until published "$address" 8080

	# One pod reaches the other's, through both policies.
	run_pod client "$(jq -n --arg address "$address" '{"org.vrun.policy": ({version: 1, domain: "client", net: {rules: [
		{allow: "connect", to: ($address + ":8080")}]}} | tojson)}')"
	start_container "$REPLY" client "while [ \"\$(nc $address 8080 </dev/null)\" != hello ]; do sleep 0.2; done; echo got; exec sleep 1000"
	client=$REPLY
	wait_until has_said client got || fail "$(said client)"
	run -0 call ExecSync "{\"containerId\": \"$client\", \"cmd\": [\"nc\", \"192.0.2.10\", \"80\"]}"
	assert_contains "$output" "Permission denied"
}

published() # ADDRESS PORT
{
	[[ $(on_host socat -u "TCP4:$1:$2" - 2>/dev/null) == hello ]]
}

@test "a pod with the machine's network has none outside" {
	run_pod node "$(jq -n '{"org.vrun.policy": ({version: 1, net: {rules: [{allow: "connect", to: "192.0.2.10:80"}]}} | tojson)}')" 2
	start_container "$REPLY" node 'nc 192.0.2.10 80 </dev/null 2>&1; nc 192.0.2.11 80 </dev/null 2>&1; echo done'
	wait_until has_said node "done"
	assert_matches "$(said node)" '192.0.2.10.*: Network is unreachable'$'\n''nc: .*192.0.2.11.*Permission denied'$'\n''done$'
}
