package configs

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReference_ShowsEveryKey compares the reference with the Go structs: no
// key may be missing there, and each has a comment and its default.
func TestReference_ShowsEveryKey(t *testing.T) {
	list, err := entries()
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]entry{}
	for _, e := range list {
		documented[e.path] = e
		if e.comment == "" {
			t.Errorf("%s has no comment above it", e.path)
		}
		if restart := e.field.Tag.Get("restart") == "yes"; restart != strings.HasSuffix(e.comment, "restart") {
			t.Errorf("%s: the tag says restart %t, the comment %q", e.path, restart, e.comment)
		}
	}
	var visit func(typ reflect.Type, path string)
	visit = func(typ reflect.Type, path string) {
		if typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			if typ.Kind() == reflect.Slice {
				path += "[]"
			}
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || isScalar(typ) {
			return
		}
		for f := range typ.Fields() {
			at := join(path, f.Tag.Get("yaml"))
			if _, ok := documented[at]; !ok {
				t.Errorf("configs/reveille.yaml does not show %s", at)
			}
			visit(f.Type, at)
		}
	}
	visit(reflect.TypeFor[Config](), "")
}

// TestReference_DefaultsOfEntries covers the defaults of list entries, which the
// reference can only show as examples.
func TestReference_DefaultsOfEntries(t *testing.T) {
	for _, tt := range []struct {
		text string
		want any
		got  func(*Config) any
	}{
		{"{name: a, provider: p, webhook: {url: 'https://h'}}", App{
			Name: "a", Provider: "p", Param: "*", Queue: 1000, InFlight: 100, Webhook: &Webhook{URL: "https://h"},
		}, func(c *Config) any { return c.Push.Apps[0] }},
		{"{name: a, webpush: {vapid_key_file: files/key.p8, subscriber: 'mailto:a@example.com'}}", knownWebPushHosts(), func(c *Config) any {
			return c.Push.Apps[0].WebPush.AllowedHosts
		}},
		{"{name: a, apns: {cert_file: files/good.pem}}", Production, func(c *Config) any { return c.Push.Apps[0].APNs.Environment }},
	} {
		cfg, _, err := Parse(placeFiles(t)+"/r.yaml", []byte("push: {apps: ["+tt.text+"]}"), env())
		if err != nil {
			t.Errorf("Parse(%s) = %v", tt.text, err)
			continue
		}
		if d := diff(tt.want, tt.got(cfg)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.text, d)
		}
	}
}

// TestExamples_AreAccepted loads the reference with its examples as values, but
// for the files, which do not exist.
func TestExamples_AreAccepted(t *testing.T) {
	e := env()
	e.Lookup = func(string) (string, bool) { return "value", true }
	_, _, err := Parse("r.yaml", examples(Reference()), e)
	if err == nil {
		t.Fatal("the examples name files that do not exist, and no one noticed")
	}
	for _, p := range err.(Problems) {
		if !strings.HasSuffix(p.What, "cannot be read: no such file or directory") {
			t.Errorf("unexpected: %s", p)
		}
	}
}

func TestMarkdown_IsCurrent(t *testing.T) {
	got, err := Markdown()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("docs/configuration.md is not current; run make generate (-file +generated):\n%s", d)
	}
}

func TestFiles_OfThisFolderLoad(t *testing.T) {
	certificate, err := os.ReadFile("testdata/files/good.pem")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		file string
		// files lists what the example expects beside it.
		files []string
	}{
		{file: "reveille.yaml"},
		{file: "bench.yaml"},
		{file: "bench-fsync.yaml"},
		{file: "bench-digest.yaml", files: []string{"bench.users"}},
		{file: "load.yaml", files: []string{"service-account.json", "ca.pem"}},
		{file: "examples/mobile.yaml", files: []string{
			"secrets/users", "secrets/purr.keys", "secrets/AuthKey_ZYXWV98765.p8", "secrets/service-account.json",
		}},
	} {
		t.Run(tt.file, func(t *testing.T) {
			text, err := os.ReadFile(tt.file)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := os.Mkdir(dir+"/secrets", 0o700); err != nil {
				t.Fatal(err)
			}
			for _, f := range tt.files {
				content := []byte("x")
				if f == "ca.pem" {
					content = certificate
				}
				if err := os.WriteFile(dir+"/"+f, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, warnings, err := Parse(dir+"/r.yaml", text, env())
			if err != nil || len(warnings) > 0 {
				t.Errorf("Parse(%s) = %v, warnings %v", tt.file, err, warnings)
			}
		})
	}
}
