package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if code, stdout, stderr := runWith(program{}, "completion", shell); code != exitOK || !strings.Contains(stdout, "reveille") || stderr != "" {
			t.Errorf("%s: code %d, %.100s%s", shell, code, stdout, stderr)
		}
	}
	if code, _, stderr := runWith(program{}, "completion", "csh"); code != exitUsage || !strings.Contains(stderr, "bash, zsh and fish") {
		t.Errorf("csh: code %d, %s", code, stderr)
	}
}

// TestCompletion_OfWhatIsThere: users, calls and push services of the running server.
func TestCompletion_OfWhatIsThere(t *testing.T) {
	config := newControl(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RequestURI() {
		case "/v1/aors?limit=100&q=sip%3Aal":
			io.WriteString(w, `{"users": [{"aor": "sip:alice@example.com"}, {"aor": "sip:al\u001b[2J@example.com"}]}`)
		case "/v1/calls?limit=100":
			io.WriteString(w, `{"calls": [{"id": "17", "method": "INVITE", "aor": "sip:alice@example.com"}]}`)
		case "/v1/providers":
			io.WriteString(w, `{"lanes": [{"provider": "fcm"}]}`)
		default:
			w.WriteHeader(http.StatusTeapot)
		}
	})
	none := "--store\x00" + t.TempDir()
	for _, tt := range []struct{ line, want string }{
		{"wake --config CONFIG sip:al", "sip:alice@example.com\nsip:al?[2J@example.com\n"},
		{"why --config CONFIG sip:al", "sip:alice@example.com\n"},
		{"events --config CONFIG --aor sip:al", "sip:alice@example.com\n"},
		{"calls show --config CONFIG ", "17?INVITE sip:alice@example.com\n"},
		{"push test --config CONFIG --provider ", "fcm\n"},
		{"wake --config CONFIG sip:bob", ":4\n"},
		{"wake NONE sip:al", ":4\n"},
	} {
		line := strings.NewReplacer("CONFIG", config, "NONE", none).Replace(tt.line)
		args := []string{"__complete"}
		for a := range strings.SplitSeq(line, " ") {
			args = append(args, strings.Split(a, "\x00")...)
		}
		code, stdout, _ := runWith(program{}, args...)
		if code != exitOK || !strings.HasPrefix(strings.ReplaceAll(stdout, "\t", "?"), tt.want) {
			t.Errorf("%s: code %d, %q, want %q", tt.line, code, stdout, tt.want)
		}
	}
}

// TestMan: the same pages every time.
func TestMan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	p := program{lookupEnv: environment("SOURCE_DATE_EPOCH=1767323045")}
	if code, _, stderr := runWith(p, "man", dir); code != exitOK {
		t.Fatalf("code %d, %s", code, stderr)
	}
	text, err := os.ReadFile(filepath.Join(dir, "reveille-calls-show.8"))
	if err != nil || !strings.Contains(string(text), `.TH "REVEILLE-CALLS-SHOW" "8" "Jan 2026" "reveille" "reveille"`) {
		t.Errorf("%v, %.200s", err, text)
	}
	if _, err := os.Stat(filepath.Join(dir, "reveille-cli-docs.8")); err == nil {
		t.Error("a hidden command has a page")
	}
	// What the library adds for help says nothing.
	if stray, _ := filepath.Glob(filepath.Join(dir, "*-help.8")); len(stray) > 0 {
		t.Errorf("pages %q", stray)
	}
	p.lookupEnv = environment("SOURCE_DATE_EPOCH=yesterday")
	if code, _, stderr := runWith(p, "man", dir); code != exitFailed || !strings.Contains(stderr, "SOURCE_DATE_EPOCH") {
		t.Errorf("a bad date: code %d, %s", code, stderr)
	}
}

func TestCLIDocs(t *testing.T) {
	code, stdout, _ := runWith(program{}, "cli-docs")
	if code != exitOK {
		t.Fatalf("code %d", code)
	}
	contains(t, stdout, []string{"# Commands\n", "\n## reveille calls show\n", "| `--limit int` | how many, 1 to 1000 (default `30`) |", "reveille why AOR"})
	if strings.Contains(stdout, "reveille help") {
		t.Error("there is a chapter on help")
	}
}
