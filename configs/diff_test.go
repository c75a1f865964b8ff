package configs

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCompare(t *testing.T) {
	app := func(name, param string) App { return App{Name: name, Param: param, FCM: &FCM{Project: "p"}} }
	tests := []struct {
		name   string
		before func(*Config)
		after  func(*Config)
		want   Changes
	}{
		{name: "nothing"},
		{
			name: "scalars of both kinds",
			after: func(c *Config) {
				c.Push.SilentWait = time.Second
				c.HTTP.Addr = ""
				c.Transport.MaxConns = 1
				c.Log = Log{Level: Debug, Format: JSON}
			},
			want: Changes{Reload: []string{"push.silent_wait", "log.level"}, Restart: []string{"transport.max_conns", "http.addr", "log.format"}},
		},
		{
			name:   "an app changed, one gone, one new",
			before: func(c *Config) { c.Push.Apps = []App{app("ios", "a"), app("old", "b")} },
			after:  func(c *Config) { c.Push.Apps = []App{app("ios", "x"), app("new", "b")} },
			want:   Changes{Reload: []string{"push.apps[ios].param", "push.apps[new]", "push.apps[old]"}},
		},
		{
			name:   "only the order of apps, which decides who takes a push",
			before: func(c *Config) { c.Push.Apps = []App{app("a", "a"), app("b", "b")} },
			after:  func(c *Config) { c.Push.Apps = []App{app("b", "b"), app("a", "a")} },
			want:   Changes{Reload: []string{"push.apps (order)"}},
		},
		{
			name:   "another kind of credential",
			before: func(c *Config) { c.Push.Apps = []App{app("a", "a")} },
			after: func(c *Config) {
				c.Push.Apps = []App{{Name: "a", Param: "a", Webhook: &Webhook{Secret: "s"}}}
			},
			want: Changes{Reload: []string{"push.apps[a].fcm", "push.apps[a].webhook"}},
		},
		{
			name:   "inside a credential",
			before: func(c *Config) { c.Push.Apps = []App{app("a", "a")} },
			after: func(c *Config) {
				c.Push.Apps = []App{app("a", "a")}
				c.Push.Apps[0].FCM.Project = "q"
			},
			want: Changes{Reload: []string{"push.apps[a].fcm.project"}},
		},
		{
			name:  "a password, by name only",
			after: func(c *Config) { c.Auth.Users = []User{{Name: "alice", Password: "secret"}} },
			want:  Changes{Reload: []string{"auth.users[alice]"}},
		},
		{
			name:  "a listener",
			after: func(c *Config) { c.Listen[0].Addr = "127.0.0.1:5070" },
			want:  Changes{Restart: []string{"listen[udp].addr"}},
		},
		{
			name: "certificates of a listener, but not its transport",
			before: func(c *Config) {
				c.Listen = append(c.Listen, Listen{Name: "tls", Transport: TLS, Addr: "127.0.0.1:5061", TLS: &ListenTLS{CertFile: "a.pem", MinVersion: TLS12}})
			},
			after: func(c *Config) {
				c.Listen[2].Addr = "127.0.0.1:5062"
				c.Listen[2].TLS = &ListenTLS{CertFile: "b.pem", MinVersion: TLS13}
				c.Listen = append(c.Listen, Listen{Name: "more", Transport: TLS, TLS: &ListenTLS{CertFile: "c.pem"}})
			},
			want: Changes{
				Reload:  []string{"listen[more]", "listen[tls].tls.cert_file", "listen[tls].tls.min_version"},
				Restart: []string{"listen[tls].addr"},
			},
		},
		{
			name: "a listener that is new, one that is gone, and one with another name",
			after: func(c *Config) {
				c.Listen[1].Name = "stream"
				c.Listen = append(c.Listen, Listen{Name: "new", Transport: UDP, Addr: "127.0.0.1:5070"})
			},
			want: Changes{Reload: []string{"listen[new]"}, Restart: []string{"listen[stream]", "listen[tcp]"}},
		},
		{
			name: "a listener that becomes encrypted, and one that ceases to be",
			before: func(c *Config) {
				c.Listen = append(c.Listen, Listen{Name: "tls", Transport: TLS, Addr: "127.0.0.1:5061", TLS: &ListenTLS{CertFile: "a.pem"}})
			},
			after: func(c *Config) {
				c.Listen[1].Transport, c.Listen[1].TLS = TLS, &ListenTLS{CertFile: "b.pem"}
				c.Listen[2].Transport, c.Listen[2].TLS = TCP, nil
			},
			want: Changes{Restart: []string{"listen[tcp].transport", "listen[tcp].tls", "listen[tls].transport", "listen[tls].tls"}},
		},
		{
			name: "lists and maps of values",
			after: func(c *Config) {
				c.Domains, c.Push.Policy.Providers = []string{"x"}, map[string]WakePolicy{"a": Always}
			},
			want: Changes{Reload: []string{"domains", "push.policy.providers"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := Default(), Default()
			if tt.before != nil {
				tt.before(a)
				tt.before(b)
			}
			if tt.after != nil {
				tt.after(b)
			}
			got := Compare(a, b)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("Compare (-want +got):\n%s", d)
			}
			if want := len(tt.want.Reload)+len(tt.want.Restart) == 0; got.Empty() != want {
				t.Errorf("Empty() = %t, want %t", got.Empty(), want)
			}
			// What a reload takes over is all of the difference that it may.
			rest := Compare(Merge(a, b), b)
			if d := cmp.Diff(Changes{Restart: tt.want.Restart}, rest); d != "" {
				t.Errorf("after Merge there still differ (-want +got):\n%s", d)
			}
			if applied := Compare(a, Merge(a, b)); len(applied.Restart) > 0 {
				t.Errorf("Merge took over %v, which needs a restart", applied.Restart)
			}
		})
	}
}

// TestTags checks the struct tags that the loader trusts: Merge, for one, does
// not look for restart tags inside lists.
func TestTags(t *testing.T) {
	var visit func(typ reflect.Type, path string, inList bool)
	visit = func(typ reflect.Type, path string, inList bool) {
		if typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
			typ, inList = typ.Elem(), true
		}
		if typ.Kind() != reflect.Struct || isScalar(typ) {
			return
		}
		seen := map[string]bool{}
		for f := range typ.Fields() {
			key := f.Tag.Get("yaml")
			at := join(path, key)
			if key == "" || seen[key] {
				t.Errorf("%s.%s: key %q is empty or comes twice", path, f.Name, key)
			}
			seen[key] = true
			if tag := f.Tag.Get("restart"); inList && tag == "yes" || tag != "" && tag != "yes" && tag != "no" {
				t.Errorf("%s: the restart tag %q has no effect", at, tag)
			}
			if bounds := f.Tag.Get("range"); bounds != "" {
				low, high, _ := strings.Cut(bounds, "..")
				// bound panics on what it cannot read.
				if v := reflect.Zero(numeric(f.Type)); bound(v, low) >= bound(v, high) {
					t.Errorf("%s: nothing lies between %s and %s", at, low, high)
				}
			} else if k := numeric(f.Type).Kind(); k != reflect.String && k != reflect.Bool && isScalar(f.Type) {
				if _, isEnum := reflect.TypeAssert[enum](reflect.Zero(f.Type)); !isEnum && f.Type.Kind() != reflect.Struct {
					t.Errorf("%s has no range", at)
				}
			}
			visit(f.Type, at, inList)
		}
	}
	visit(reflect.TypeFor[Config](), "", false)
}

// numeric is the type that the decoder hands to set for a field's type.
func numeric(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Map {
		t = t.Elem() // Each value has the bounds.
	}
	if t.Kind() == reflect.Int || t.Kind() == reflect.Uint32 {
		return reflect.TypeFor[int64]()
	}
	return t
}
