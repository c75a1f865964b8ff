package main

import (
	"context"
	"errors"
	"fmt"
)

// errInterrupted ends a command at once.
var errInterrupted = errors.New("ended by a signal")

// interruptible runs do until it ends. A signal ends its context, and says so; a
// second one ends the command whatever do does.
func (p program) interruptible(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The goroutine ends with do or with the process, which has nothing else to
	// do.
	ended := make(chan error, 1)
	go func() { ended <- do(ctx) }()
	for {
		select {
		case err := <-ended:
			return err
		case <-p.signals:
			if ctx.Err() != nil {
				return errInterrupted
			}
			fmt.Fprintln(p.stderr, "reveille: ending what is under way; once more to end at once")
			cancel()
		}
	}
}
