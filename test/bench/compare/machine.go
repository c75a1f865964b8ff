package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine says where a measurement was made, in a sentence.
func machine(dir string) string {
	kernel := "Linux"
	var uts unix.Utsname
	if err := unix.Uname(&uts); err == nil {
		kernel += " " + unix.ByteSliceToString(uts.Release[:])
	}
	cpu := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		cpu = processor(text)
	}
	return fmt.Sprintf("%s, %s, %s, the store on %s", cpu, kernel, runtime.Version(), fileSystem(dir))
}

// processor reads the name of the first CPU and how many there are from
// /proc/cpuinfo.
func processor(text []byte) string {
	name, n := "unknown processor", 0
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(key) == "model name" {
			name = strings.Join(strings.Fields(value), " ")
			n++
		}
	}
	return fmt.Sprintf("%d × %s", n, name)
}

// fileSystem names the file system of dir: fsync means nothing on one in memory.
func fileSystem(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "an unknown file system"
	}
	switch st.Type {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs, **where fsync costs nothing**"
	}
	return fmt.Sprintf("file system %#x", st.Type)
}

// kamailioVersion is what the peer says of itself, in two words.
func kamailioVersion() string {
	binary, err := findKamailio()
	if err != nil {
		return "no Kamailio to compare with"
	}
	out, err := exec.Command(binary, "-v").Output()
	if err != nil {
		return "Kamailio"
	}
	line, _, _ := bytes.Cut(out, []byte("\n"))
	if fields := strings.Fields(string(line)); len(fields) >= 3 {
		return "Kamailio " + fields[2]
	}
	return "Kamailio"
}
