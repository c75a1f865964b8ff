package main

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"reveille/internal/admin"
)

// TestStats: every figure of the API is in the table.
func TestStats(t *testing.T) {
	var s admin.Stats
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		v.Field(i).SetInt(int64(1000 + i))
	}
	config := newControl(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method+r.URL.RequestURI() != "GET/v1/stats" {
			t.Errorf("asked for %s", r.URL)
		}
		json.NewEncoder(w).Encode(s)
	})
	code, stdout, stderr := runWith(program{}, "stats", "--config", config)
	if code != exitOK || !strings.HasPrefix(stdout, "NAME ") {
		t.Errorf("code %d; printed\n%s%s", code, stdout, stderr)
	}
	rows := map[string]string{}
	for line := range strings.Lines(stdout) {
		if f := strings.Fields(line); len(f) == 2 {
			rows[f[0]] = f[1]
		}
	}
	var want map[string]json.Number
	if code, stdout, stderr = runWith(program{}, "stats", "--json", "--config", config); code != exitOK {
		t.Errorf("code %d; printed\n%s%s", code, stdout, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &want); err != nil || len(want) != v.NumField() || len(rows) != len(want)+1 {
		t.Errorf("%d rows, %v, %v", len(rows), want, err)
	}
	for name, value := range want {
		if rows[name] != value.String() {
			t.Errorf("%s is %q in the table, want %s", name, rows[name], value)
		}
	}
}

func TestFlush(t *testing.T) {
	status := http.StatusNoContent
	config := newControl(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method+r.URL.RequestURI() != "POST/v1/flush" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		w.WriteHeader(status)
		if status != http.StatusNoContent {
			io.WriteString(w, `{"title": "Conflict", "detail": "there is no disk"}`)
		}
	})
	if code, stdout, stderr := runWith(program{}, "flush", "--config", config); code != exitOK || stdout != "all registrations are on the disk\n" {
		t.Errorf("code %d; printed\n%s%s", code, stdout, stderr)
	}
	status = http.StatusConflict
	if code, stdout, stderr := runWith(program{}, "flush", "--config", config); code != exitFailed || !strings.Contains(stderr, "there is no disk") {
		t.Errorf("code %d; printed\n%s%s", code, stdout, stderr)
	}
}
