package configs

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestUsersFile_LargerThanAnyOther: a file with many users is checked by its
// beginning; it is read where its users are.
func TestUsersFile_LargerThanAnyOther(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "users"), bytes.Repeat([]byte("#"), maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, warnings, err := Parse(filepath.Join(dir, "r.yaml"), []byte("auth: {users_file: users}"), Env{}); err != nil || len(warnings) > 0 {
		t.Errorf("Parse = %v, %v", warnings, err)
	}
	if _, _, err := Parse(filepath.Join(dir, "r.yaml"), []byte("auth: {users: [{name: a, password_file: users}]}"), Env{}); err == nil {
		t.Error("a password of 4 MiB was taken")
	}
}
