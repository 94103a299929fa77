#!/bin/sh
# The guest's first process: devices, network, the directory shared with the test, then an agent that
# runs each script it is told to, any number at once, and reports each one's exit status.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
for module in virtio_pci virtio_net virtio_console 9p 9pnet_virtio crc32c-generic nvme-tcp ext4 xfs; do
    modprobe "$module"
done
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 share /share

until [ -e /dev/vport0p1 ] || [ -e /dev/vport1p1 ] || [ -e /dev/vport2p1 ]; do usleep 10000; done
exec 3<>"$(ls /dev/vport*p1)"
echo "ready $(uname -r)" >&3
while read -r job <&3; do
    (
        sh "/share/jobs/$job.sh" >"/share/jobs/$job.out" 2>&1 3>&-
        echo "$job $?" >&3
    ) &
done
