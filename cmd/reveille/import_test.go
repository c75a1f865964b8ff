package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reveille/internal/app"
	"reveille/push/pushsim"
)

// asterisk holds configurations of Asterisk, each in a folder of its own.
const asterisk = "../../internal/pjsip/testdata"

// What is imported passes the check that serve runs, includes and all.
func TestImportPJSIP_TheServerTakesIt(t *testing.T) {
	files, err := filepath.Glob(asterisk + "/*/pjsip.conf")
	if err != nil || len(files) == 0 {
		t.Fatalf("no configurations: %v", err)
	}
	p := program{check: app.Check, warnings: app.Warnings}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new")
			code, stdout, stderr := runWith(p, "import", "pjsip", file, "-o", dir)
			config := filepath.Join(dir, importedConfig)
			if code != exitOK || !strings.Contains(stdout, config+": written\n") || !strings.Contains(stderr, "pjsip.conf") {
				t.Fatalf("import = %d, %q, %q", code, stdout, stderr)
			}
			if code, _, stderr := runWith(p, "check", config); code != exitOK {
				t.Errorf("check = %d, %s", code, stderr)
			}
		})
	}
}

func TestImportPJSIP_PasswordsAreForTheServerAlone(t *testing.T) {
	dir := t.TempDir()
	code, stdout, stderr := runWith(program{}, "import", "pjsip", asterisk+"/sections/pjsip.conf", "--output", dir, "--domain", "example.com,example.net")
	if code != exitOK {
		t.Fatalf("import = %d, %q", code, stderr)
	}
	users := filepath.Join(dir, importedUsers)
	info, err := os.Stat(users)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("users file: %v, mode %v, want 0600", err, info.Mode())
	}
	secret, err := os.ReadFile(users)
	if err != nil || !strings.Contains(string(secret), "not-a-real-one-6001") {
		t.Errorf("the users file holds no password: %v\n%s", err, secret)
	}
	config, err := os.ReadFile(filepath.Join(dir, importedConfig))
	if err != nil || !strings.Contains(string(config), "domains: [example.com, example.net") {
		t.Errorf("configuration: %v\n%s", err, config)
	}
	if all := stdout + stderr + string(config); strings.Contains(all, "not-a-real-one") {
		t.Errorf("a password is told:\n%s", all)
	}
}

func TestImportPJSIP_Mistakes(t *testing.T) {
	taken := t.TempDir()
	if err := os.WriteFile(filepath.Join(taken, importedUsers), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	loop := filepath.Join(t.TempDir(), "pjsip.conf")
	if err := os.WriteFile(loop, []byte("#include pjsip.conf\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := asterisk + "/open/pjsip.conf"
	tests := []struct {
		name   string
		args   []string
		code   int
		stderr string
	}{
		{"no kind", []string{"import", "chan_sip", good}, exitUsage, "unknown command"},
		{"no file named", []string{"import", "pjsip"}, exitUsage, "takes one file"},
		{"three files", []string{"import", "pjsip", good, good, good}, exitUsage, "takes one file, or two"},
		{"no such lists", []string{"import", "pjsip", good, "/nonexistent/acl.conf", "-o", t.TempDir()}, exitFailed, "no such file"},
		{"no such file", []string{"import", "pjsip", "/nonexistent/pjsip.conf"}, exitFailed, "no such file"},
		{"a folder", []string{"import", "pjsip", taken}, exitFailed, "is no regular file"},
		{"a file that includes itself", []string{"import", "pjsip", loop, "-o", t.TempDir()}, exitFailed, "includes itself"},
		{"something is there already", []string{"import", "pjsip", good, "-o", taken}, exitFailed, "exists already"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, _, stderr := runWith(program{}, tt.args...)
			if code != tt.code || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("code %d, %q; want %d and %q", code, stderr, tt.code, tt.stderr)
			}
		})
	}
	if mine, err := os.ReadFile(filepath.Join(taken, importedUsers)); err != nil || string(mine) != "mine" {
		t.Errorf("a file that was there is %q now, %v", mine, err)
	}
}

// Absolute paths in #include are taken as they are.
func TestImportPJSIP_AbsoluteIncludes(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		filepath.Join(dir, "pjsip.conf"): "#include " + other + "/*.conf\n",
		filepath.Join(other, "a.conf"):   "[u]\ntype=endpoint\nauth=u\n[u]\ntype=auth\nusername=u\npassword=p\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, _, stderr := runWith(program{}, "import", "pjsip", filepath.Join(dir, "pjsip.conf"), "-o", filepath.Join(dir, "out"))
	users, err := os.ReadFile(filepath.Join(dir, "out", importedUsers))
	if code != exitOK || err != nil || !strings.Contains(string(users), `name: "u"`) {
		t.Errorf("import = %d, %q, %v\n%s", code, stderr, err, users)
	}
}

// Certificates that are there are used, those that are not are left to the
// operator.
func TestImportPJSIP_Certificates(t *testing.T) {
	credentials, err := pushsim.NewCredentials()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := credentials.APNsCertificate()
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	certFile := write("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
	keyFile := write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	for _, tt := range []struct{ name, cert, want string }{
		{"there", certFile, "\n  - {name: tls, transport: tls,"},
		{"not there", certFile + ".gone", "\n  #- {name: tls, transport: tls,"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := write("pjsip.conf", []byte("[tls]\ntype=transport\nprotocol=tls\nbind=127.0.0.1\ncert_file="+tt.cert+"\npriv_key_file="+keyFile+"\n"))
			out := filepath.Join(t.TempDir(), "out")
			p := program{check: app.Check, warnings: app.Warnings}
			if code, _, stderr := runWith(p, "import", "pjsip", file, "-o", out); code != exitOK {
				t.Fatalf("import = %d, %q", code, stderr)
			}
			config, err := os.ReadFile(filepath.Join(out, importedConfig))
			if err != nil || !strings.Contains(string(config), tt.want) {
				t.Errorf("configuration without %q, %v:\n%s", tt.want, err, config)
			}
			if code, _, stderr := runWith(p, "check", filepath.Join(out, importedConfig)); code != exitOK {
				t.Errorf("check = %d, %s", code, stderr)
			}
		})
	}
}
