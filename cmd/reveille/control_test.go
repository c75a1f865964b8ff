package main

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// newControl serves a control socket by h until the test ends, and returns the
// configuration that names it.
func newControl(t *testing.T, h http.HandlerFunc) (config string) {
	t.Helper()
	// The path of a socket must be short.
	dir, err := os.MkdirTemp("", "rv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config = filepath.Join(dir, "r.yaml")
	if err := os.WriteFile(config, []byte("control: {socket: c}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "c"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go srv.Serve(l) // It ends with Close.
	t.Cleanup(func() { srv.Close() })
	return config
}

// environment is a lookupEnv that knows these variables.
func environment(vars ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, v := range vars {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestReach: which server a command asks.
func TestReach(t *testing.T) {
	noBans := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"bans": []}`) }
	config := newControl(t, noBans)
	remote := httptest.NewServer(http.HandlerFunc(noBans))
	defer remote.Close()
	for _, tt := range []struct {
		name, args    string
		env           []string
		defaultConfig string
		code          int
		says          string
	}{
		{"nothing", "", nil, "", exitUsage, "name the server by --config FILE, --store DIR or --server URL"},
		{"a default that is not there", "", nil, "/nonexistent.yaml", exitUsage, "name the server"},
		{"the default", "", nil, config, exitOK, ""},
		{"a flag", "--config " + config, nil, "", exitOK, ""},
		{"a flag before the environment", "--config " + config, []string{"REVEILLE_SERVER=http://192.0.2.1"}, "", exitOK, ""},
		{"the environment", "", []string{"REVEILLE_CONFIG=" + config}, "/nonexistent", exitOK, ""},
		{"the environment before the default", "", []string{"REVEILLE_SERVER=" + remote.URL}, "/nonexistent", exitOK, ""},
		{"two in the environment", "", []string{"REVEILLE_SERVER=" + remote.URL, "REVEILLE_CONFIG=" + config}, "", exitUsage, "two servers"},
		{"two flags", "--config " + config + " --server " + remote.URL, nil, "", exitUsage, "one of --config"},
		{"a token for the socket", "--config " + config + " --token-file x", nil, "", exitUsage, "--server URL"},
		{"a token of the environment is for servers", "--config " + config, []string{"REVEILLE_TOKEN_FILE=/nonexistent"}, "", exitOK, ""},
		{"a certificate without a key", "--server https://localhost --cert x", nil, "", exitUsage, "belong together"},
		{"a socket where nobody is", "--store " + t.TempDir(), nil, "", exitFailed, "hint: start the server"},
		{"no socket", "--config " + file(t, "control: {socket: none}\n"), nil, "", exitFailed, "control.socket"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := program{lookupEnv: environment(tt.env...), defaultConfig: tt.defaultConfig}
			code, stdout, stderr := runWith(p, append([]string{"bans", "list"}, strings.Fields(tt.args)...)...)
			if code != tt.code || !strings.Contains(stderr, tt.says) || code == exitOK && stdout != "nobody is banned\n" {
				t.Errorf("code %d, want %d; printed %s%s", code, tt.code, stdout, stderr)
			}
		})
	}
}

func TestReach_BadURL(t *testing.T) {
	for _, s := range []string{"sip.example.com", "sip.example.com:8443", "ftp://h", "https://", "https://u:p@h", "https://h?x", "https://h#x", "https://h:x", "\x1b"} {
		code, _, stderr := runWith(program{}, "bans", "list", "--server", s)
		if code != exitUsage || !strings.Contains(stderr, "hint: write https://") && s != "https://h:x" {
			t.Errorf("%q: code %d, %s", s, code, stderr)
		}
	}
}

// TestReach_Remote: with TLS, tokens and certificates.
func TestReach_Remote(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/below"):
			http.Redirect(w, r, strings.TrimPrefix(r.URL.Path, "/below"), http.StatusFound)
		case r.Header.Get("Authorization") == "Bearer reader":
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `{"title": "not allowed", "status": 403, "detail": "this needs the role operate"}`)
		case r.Header.Get("Authorization") == "Bearer s3cret" || len(r.TLS.PeerCertificates) == 1:
			io.WriteString(w, `{"bans": []}`)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	srv.Config.ErrorLog = quiet
	srv.StartTLS()
	defer srv.Close()
	ca := file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
	cert, key := clientCertificate(t)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	token := file(t, "s3cret\n")
	for _, tt := range []struct {
		name, args string
		code       int
		says       string
	}{
		{"a token", "--server URL --cacert CA --token-file " + token, exitOK, ""},
		{"a certificate", "--server URL --cacert CA --cert " + cert + " --key " + key, exitOK, ""},
		{"a CA that is not known", "--server URL --token-file " + token, exitFailed, "by --cacert FILE"},
		{"another name", "--server https://localhost:" + port + " --cacert CA", exitFailed, "hint: write a name of its certificate"},
		{"no token", "--server URL --cacert CA", exitFailed, "hint: name a token by --token-file"},
		{"a wrong token", "--server URL --cacert CA --token-file " + file(t, "guess"), exitFailed, "must be one of http.tokens"},
		{"a low role", "--server URL --cacert CA --token-file " + file(t, "reader"), exitFailed, "needs the role operate; hint: use a token or certificate with a higher role"},
		{"no TLS there", "--server http://127.0.0.1:" + port, exitFailed, "400"},
		{"a redirection", "--server URL/below/ --cacert CA --token-file " + token, exitFailed, "302"},
		{"no token in the file", "--server URL --token-file " + file(t, "\n"), exitFailed, "is empty"},
		{"no such token", "--server URL --token-file /nonexistent", exitFailed, "read the token"},
		{"a long token", "--server URL --token-file " + file(t, strings.Repeat("x", maxSecret+1)), exitFailed, "longer than"},
		{"a token in clear", "--server http://sip.example.com --token-file " + token, exitUsage, "anybody on the way"},
		{"no CA in the file", "--server URL --cacert " + token, exitFailed, "no certificate in PEM"},
		{"no CA", "--server URL --cacert /nonexistent", exitFailed, "--cacert"},
		{"no key in the file", "--server URL --cert " + cert + " --key " + token, exitFailed, "--key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := strings.NewReplacer("URL", srv.URL, "CA", ca).Replace("bans list " + tt.args)
			code, stdout, stderr := runWith(program{}, strings.Fields(args)...)
			if code != tt.code || !strings.Contains(stderr, tt.says) || strings.Contains(stderr, "s3cret") {
				t.Errorf("code %d, want %d; printed %s%s", code, tt.code, stdout, stderr)
			}
		})
	}
}

// TestControl_HostileAnswers: whatever answers, the command ends, and the terminal
// stays as it is.
func TestControl_HostileAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		says   string
	}{
		{"a page", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>\x1b[2J") }, "is that a reveille"},
		{"nothing", func(http.ResponseWriter, *http.Request) {}, "EOF"},
		{"half an answer", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"bans": [{`) }, "unexpected EOF"},
		{"another type", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"bans": "\u001b[2J"}`) }, "cannot unmarshal"},
		{"an answer without end", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"bans": [{"source": "`)
			for block := []byte(strings.Repeat("x", 1<<20)); r.Context().Err() == nil; {
				w.Write(block)
			}
		}, "longer than 16 MiB"},
		{"a problem for the terminal", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, `{"title": "\u001b[2J", "detail": "`+"\u009b"+`2J"}`)
		}, "?[2J: ?2J"},
		{"a problem without end", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			for r.Context().Err() == nil {
				io.WriteString(w, "xxxxxxxxxxxxxxxxxxxxxxxxxx")
			}
		}, "418"},
		{"no HTTP", func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			fmt.Fprint(c, "\x1b[2J\r\n")
			c.Close()
		}, "malformed HTTP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := runWith(program{}, "bans", "list", "--config", newControl(t, tt.answer))
			if code != exitFailed || !strings.Contains(stderr, tt.says) {
				t.Errorf("code %d; printed %.300s%.300s", code, stdout, stderr)
			}
			if strings.ContainsAny(stdout+stderr, "\x1b\u009b") {
				t.Errorf("the server speaks to the terminal: %q", stdout+stderr)
			}
		})
	}
}

// TestControl_Interrupted: a server that does not answer keeps nobody.
func TestControl_Interrupted(t *testing.T) {
	signals := make(chan os.Signal, 1)
	config := newControl(t, func(_ http.ResponseWriter, r *http.Request) {
		signals <- syscall.SIGINT
		<-r.Context().Done()
	})
	if code, _, stderr := runWith(program{signals: signals}, "bans", "list", "--config", config); code != exitFailed || !strings.Contains(stderr, "canceled") {
		t.Errorf("code %d; printed %s", code, stderr)
	}
}
