package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"reveille/internal/contacts"
)

// dumpCommand writes all users and their contacts.
func (p program) dumpCommand() *cobra.Command {
	var t target
	var push bool
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Write all users of a running server and their contacts, a line of JSON for each user",
		Long: "Write all users of a running server and their contacts, a line of JSON for each user, in no order. A line is a\n" +
			"user at one moment. The exit code is 1 if it is not whole.",
		Example: "  reveille dump >contacts.jsonl\n  reveille dump | jq -r '.contacts[].user_agent'",
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.ask(cmd, t, func(ctx context.Context, c control) error { return p.dump(ctx, c, push) })
		},
	}
	t.flags(cmd)
	cmd.Flags().BoolVar(&push, "push", false, "with push parameters, which are secret; it takes the role admin")
	return cmd
}

func (p program) dump(ctx context.Context, c control, push bool) (err error) {
	path := "/v1/dump"
	if push {
		path += "?push=true"
	}
	resp, err := c.open(ctx, http.MethodGet, path, http.Header{}, http.NoBody)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	out := bufio.NewWriter(p.stdout)
	defer func() {
		if flushed := out.Flush(); err == nil {
			err = flushed
		}
	}()
	return c.copyUsers(ctx, out, resp.Body)
}

// copyUsers writes each line of a dump once it has been read whole.
func (c control) copyUsers(ctx context.Context, out io.Writer, in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxAnswer)
	for lines.Scan() {
		var line struct {
			contacts.UserContacts
			Title, Detail string // of a problem, which is the last line
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("read the answer of the server on %s: %w", c.name, notRead(err))
		}
		if line.AOR == "" {
			return fmt.Errorf("the dump is not whole: the server on %s: %s", c.name, visible(line.Title+": "+line.Detail))
		}
		if err := printJSONLine(out, json.RawMessage(lines.Bytes())); err != nil {
			return err
		}
	}
	err := lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = fmt.Errorf("a line is longer than %d MiB", maxAnswer>>20)
	}
	if err != nil {
		return fmt.Errorf("the dump is not whole: read the answer of the server on %s: %w", c.name, cleaned(cause(ctx, err)))
	}
	return nil
}
