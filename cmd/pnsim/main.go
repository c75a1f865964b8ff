// Command pnsim pretends to be Apple's, Google's and the browsers' push
// services, so that push can be tried without accounts.
//
//	pnsim --dir pnsim --wake ./wake.sh
//
// It writes a CA and credentials into a directory, prints the push.apps to put
// into reveille.yaml, logs what it receives, shows it on a page, and runs a
// command for each push: what a phone would do.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
