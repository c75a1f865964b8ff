package configs

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestControlSocket(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("x", maxSocketPath-len(dir)-len("/")-len("/control.sock"))
	tests := []struct {
		name, text string
		want       string // below the folder of the file
		warns      bool
	}{
		{"in memory", "", "", false},
		{"beside the store", "store: {dir: store}", "store/control.sock", false},
		{"a store that promises nothing", "store: {dir: store, durability: memory}", "", false},
		{"named", "{store: {dir: store}, control: {socket: c}}", "c", false},
		{"named in the store that is not made yet", "{store: {dir: store/}, control: {socket: store/c}}", "store/c", false},
		{"named without a store", "control: {socket: c}", "c", false},
		{"none", "{store: {dir: store}, control: {socket: none}}", "", false},
		{"as long as can be", "store: {dir: " + long + "}", long + "/control.sock", false},
		{"too long", "store: {dir: " + long + "x}", "", true},
		{"too long and not wanted", "{store: {dir: " + long + "x}, control: {socket: none}}", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, warnings, err := Parse(filepath.Join(dir, "r.yaml"), []byte(tt.text), Env{})
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			if want != "" {
				want = filepath.Join(dir, want)
			}
			if got := cfg.ControlSocket(); got != want {
				t.Errorf("ControlSocket = %q, want %q", got, want)
			}
			if (len(warnings) > 0) != tt.warns {
				t.Errorf("warnings: %v, want some: %t", warnings, tt.warns)
			}
		})
	}
}
