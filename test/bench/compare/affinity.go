package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// cores are the two that a measurement takes.
type cores struct{ server, load int }

// pinned in the environment tells this program that it has been moved to its
// core already, and which the two are.
const pinned = "REVEILLE_BENCH_CORES"

// errOneCore says that the server and its load cannot be told apart.
var errOneCore = errors.New("two cores are needed: one for the server, one for the load")

// takeCores moves this program to a core of its own, by starting it anew: all its
// threads are there then, and the runtime knows of no other. It returns that core,
// and the one that is left for servers.
func takeCores() (two cores, err error) {
	if text, ok := os.LookupEnv(pinned); ok {
		_, err := fmt.Sscan(text, &two.server, &two.load)
		return two, err
	}
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return two, fmt.Errorf("ask for cores: %w", err)
	}
	if two, err = firstTwo(&allowed); err != nil {
		return two, err
	}
	exe, err := os.Executable()
	if err != nil {
		return two, err
	}
	// The affinity is the thread's, and that of the program it becomes.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := pin(two.load); err != nil {
		return two, err
	}
	return two, syscall.Exec(exe, os.Args, append(os.Environ(), fmt.Sprintf("%s=%d %d", pinned, two.server, two.load)))
}

// firstTwo returns the first two cores of a set.
func firstTwo(set *unix.CPUSet) (cores, error) {
	var found []int
	for i := 0; len(found) < 2 && i < 1024; i++ {
		if set.IsSet(i) {
			found = append(found, i)
		}
	}
	if len(found) < 2 {
		return cores{}, errOneCore
	}
	return cores{server: found[0], load: found[1]}, nil
}

// pin moves the calling thread.
func pin(cores ...int) error {
	var set unix.CPUSet
	for _, core := range cores {
		set.Set(core)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("move to core %v: %w", cores, err)
	}
	return nil
}

// startOn starts a command on some cores.
func startOn(cores []int, cmd *exec.Cmd) error {
	var own unix.CPUSet
	if err := unix.SchedGetaffinity(0, &own); err != nil {
		return fmt.Errorf("ask for cores: %w", err)
	}
	// A child begins where the thread is that makes it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := pin(cores...); err != nil {
		return err
	}
	// It ends with this program, however that ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	err := cmd.Start()
	return errors.Join(err, unix.SchedSetaffinity(0, &own))
}
