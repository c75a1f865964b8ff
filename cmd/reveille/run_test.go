package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"reveille/configs"
)

// runWith runs a command line and returns what it printed.
func runWith(p program, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	p.stdout, p.stderr = &out, &errs
	if p.lookupEnv == nil {
		p.lookupEnv = func(string) (string, bool) { return "", false }
	}
	code = run(args, p)
	return code, out.String(), errs.String()
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "r.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRun_CodesAndStreams(t *testing.T) {
	good := write(t, "domains: [example.com]\n")
	warned := write(t, "http: {addr: ':8080'}\n")
	bad := write(t, "domain: [example.com]\nlog: {level: loud}\n")
	tests := []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"good file", []string{"check", good}, exitOK, good + ": ok\n", ""},
		{
			"file with a warning",
			[]string{"check", warned},
			exitOK, warned + ": ok\n",
			warned + ":1:14: warning: http.addr: whoever reaches this address reads metrics without a password; hint: keep it inside your network\n",
		},
		{
			"bad file",
			[]string{"check", bad},
			exitInvalid, "",
			bad + `:1:1: domain: unknown key; hint: did you mean "domains"?` + "\n" +
				bad + `:2:14: log.level: "loud" is not one of debug, info, warn, error; hint: known here: debug, info, warn, error` + "\n",
		},
		{"no file", []string{"check", "/nonexistent.yaml"}, exitInvalid, "", "/nonexistent.yaml: cannot be read: no such file or directory\n"},
		{"no argument", []string{"check"}, exitUsage, "", "reveille: reveille check takes one file; see reveille check --help\n"},
		{"unknown flag", []string{"check", "--wat"}, exitUsage, "", "reveille: unknown flag: --wat\n"},
		{"unknown command", []string{"wat"}, exitUsage, "", "reveille: unknown command \"wat\"; see reveille --help\n"},
		{"unknown thing to print", []string{"config", "wat"}, exitUsage, "", "reveille: unknown command \"wat\"; see reveille config --help\n"},
		{"default configuration", []string{"config", "default"}, exitOK, string(configs.Reference()), ""},
		{"serve is absent without a server", []string{"serve"}, exitUsage, "", "reveille: unknown command \"serve\"; see reveille --help\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := runWith(program{}, tt.args...)
			if code != tt.code || stdout != tt.stdout || stderr != tt.stderr {
				t.Errorf("run(%q) = %d\nstdout %q\nstderr %q\nwant %d\nstdout %q\nstderr %q",
					tt.args, code, stdout, stderr, tt.code, tt.stdout, tt.stderr)
			}
		})
	}
}

func TestRun_PrintsDocuments(t *testing.T) {
	for _, tt := range []struct{ what, begins string }{
		{"schema", "{\n"},
		{"docs", "# Configuration\n"},
	} {
		code, stdout, stderr := runWith(program{}, "config", tt.what)
		if code != exitOK || !strings.HasPrefix(stdout, tt.begins) || stderr != "" {
			t.Errorf("config %s = %d, %.40q, %q", tt.what, code, stdout, stderr)
		}
	}
}

func TestRun_HelpWithoutCommand(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"config"}} {
		if code, stdout, _ := runWith(program{}, args...); code != exitOK || !strings.Contains(stdout, "Usage:\n") {
			t.Errorf("run(%q) = %d, %q", args, code, stdout)
		}
	}
}

func TestRun_CheckTakesSecretsFromTheEnvironment(t *testing.T) {
	file := write(t, "auth: {users: [{name: alice, password: '${PW}'}]}\n")
	if code, _, stderr := runWith(program{}, "check", file); code != exitInvalid || !strings.Contains(stderr, "PW is not set") {
		t.Errorf("without PW: %d, %q", code, stderr)
	}
	env := func(name string) (string, bool) { return "x", name == "PW" }
	if code, stdout, stderr := runWith(program{lookupEnv: env}, "check", file); code != exitOK {
		t.Errorf("with PW: %d, %q, %q", code, stdout, stderr)
	}
}

// failingWriter is a closed standard output.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestRun_WriteErrorIsAFailure(t *testing.T) {
	for _, args := range [][]string{{"config", "default"}, {"version"}} {
		if code := run(args, program{stdout: failingWriter{}, stderr: io.Discard}); code != exitFailed {
			t.Errorf("run(%q) into a closed pipe = %d, want %d", args, code, exitFailed)
		}
	}
}

func TestRun_Demo(t *testing.T) {
	p := program{demo: func(_ context.Context, out io.Writer) error {
		_, err := fmt.Fprintln(out, "it rang")
		return err
	}}
	if code, stdout, _ := runWith(p, "demo"); code != exitOK || stdout != "it rang\n" {
		t.Errorf("demo = %d, %q", code, stdout)
	}
	p.demo = func(context.Context, io.Writer) error { return errors.New("the phone kept silent") }
	if code, _, stderr := runWith(p, "demo"); code != exitFailed || stderr != "reveille: the phone kept silent\n" {
		t.Errorf("failing demo = %d, %q", code, stderr)
	}
}

func TestVersion(t *testing.T) {
	info := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"},
	}}
	if got := version(info, true); !strings.HasPrefix(got, "reveille v1.2.3 0123456789ab modified go") {
		t.Errorf("version = %q", got)
	}
	if got := version(nil, false); !strings.HasPrefix(got, "reveille unknown go") {
		t.Errorf("version without build information = %q", got)
	}
	if code, stdout, _ := runWith(program{}, "version"); code != exitOK || !strings.HasPrefix(stdout, "reveille ") {
		t.Errorf("version = %d, %q", code, stdout)
	}
}

func TestLogger_FormatAndLevel(t *testing.T) {
	for _, tt := range []struct {
		cfg  configs.Log
		want []string
	}{
		{configs.Log{Level: configs.Debug, Format: configs.Text}, []string{"msg=d", "msg=i", "msg=w", "msg=e"}},
		{configs.Log{Level: configs.Info, Format: configs.JSON}, []string{`"msg":"i"`, `"msg":"w"`, `"msg":"e"`}},
		{configs.Log{Level: configs.Warn, Format: configs.Text}, []string{"msg=w", "msg=e"}},
		{configs.Log{Level: configs.Error, Format: configs.Text}, []string{"msg=e"}},
	} {
		var out bytes.Buffer
		log := program{stderr: &out}.logger(tt.cfg, new(slog.LevelVar))
		log.Debug("d")
		log.Info("i")
		log.Warn("w")
		log.Error("e")
		if n := strings.Count(out.String(), "\n"); n != len(tt.want) {
			t.Errorf("%v logs %d lines, want %d", tt.cfg, n, len(tt.want))
		}
		for _, want := range tt.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%v: %q lacks %s", tt.cfg, out.String(), want)
			}
		}
	}
}
