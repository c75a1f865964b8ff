package main

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// The files that configs/bench-fsync.yaml and bench-digest.yaml name, beside
// themselves.
const (
	storeDir  = "bench.store"
	usersFile = "bench.users"
)

// writeUsersFile makes the users file of n phones.
func writeUsersFile(name string, n int) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(writeUsers(f, n), f.Close())
}

// writeUsers writes users in the format of auth.users_file.
func writeUsers(to io.Writer, n int) error {
	w := bufio.NewWriter(to)
	fmt.Fprintln(w, "users:")
	for u := range n {
		name := userName(u)
		fmt.Fprintf(w, "- {name: %s, ha1_sha256: %x}\n", name, sha256.Sum256([]byte(name+":"+domain+":"+secret(u))))
	}
	return w.Flush()
}
