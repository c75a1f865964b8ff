package archtest

import (
	"fmt"
	"go/build"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the path of this module.
const module = "reveille"

// floors says how high a package stands; imports go down only. A sub-package
// stands with its nearest ancestor in the table.
func floors() map[string]int {
	return map[string]int{
		"flow": 0, "internal/sipmsg": 0, "internal/event": 0, "internal/tlscert": 0, "internal/httpclient": 0, "internal/hook": 0,
		"usrloc": 1, "push": 1, "internal/feed": 1, "internal/transport": 1, "internal/sqldb": 1, "internal/boltfile": 1,
		"purr": 2, "internal/domain": 2, "internal/transaction": 2, "internal/auth": 2, "internal/resolve": 2, "internal/rtpengine": 2, "internal/wake": 2, "internal/outbox": 2, "internal/locationdb": 2, "internal/guard": 2, "internal/mailbox": 2, "internal/trace": 2, "internal/signon": 2, "internal/hep": 3, "internal/timeline": 2,
		"registrar": 3, "internal/proxy": 3, "internal/probe": 3, "internal/regevent": 3, "internal/kamailio": 3, "internal/why": 3,
		"internal/fastpath": 4, "internal/otlp": 4, "internal/qualify": 4, "internal/trunk": 4, "internal/contacts": 4,
		"internal/admin": 5, "internal/load": 5, "configs": 5, "internal/pjsip": 5,
		"internal/console": 6,
		"internal/app":     7,
		"cmd":              8,
	}
}

// helpers are for tests, demonstrations and load, not part of the server: they
// may import what they exercise, and no package of the server imports them.
func helpers() []string {
	return []string{"internal/auth/authtest", "internal/demo", "internal/phone", "internal/memnet", "internal/modeltest", "internal/archtest", "push/pushsim", "push/pushtest", "internal/tlscert/certtest", "usrloc/usrloctest", "internal/console/consoletest", "internal/signon/signontest", "test"}
}

// strangers never import each other, although they stand on one floor, where
// imports between others are allowed.
func strangers() map[[2]string]string {
	return map[[2]string]string{
		{"registrar", "internal/proxy"}:     "the one binds, the other routes; what they share goes through usrloc",
		{"usrloc", "push"}:                  "where a device is and how it is woken are combined above them",
		{"usrloc", "internal/transport"}:    "a Flow is all that a store knows of sockets",
		{"push", "internal/transport"}:      "push services are reached by HTTP, not by SIP sockets",
		{"internal/transaction", "purr"}:    "tokens mean nothing to transactions",
		{"internal/sipmsg", "flow"}:         "a message knows no sockets",
		{"internal/auth", "purr"}:           "who a caller is and which dialog a token seals are unrelated",
		{"internal/admin", "configs"}:       "app hands admin what it needs",
		{"internal/transaction", "configs"}: "only app and cmd read the configuration",
	}
}

// An edge is one import inside the module, by package folders.
type edge struct{ from, to string }

// root is the module's folder, seen from this package.
const root = "../.."

// folders lists the folders of the module that hold Go files.
func folders(t *testing.T) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && rel != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules") {
			return filepath.SkipDir
		}
		if dir := path.Dir(filepath.ToSlash(rel)); strings.HasSuffix(base, ".go") && !slices.Contains(list, dir) {
			list = append(list, dir)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 5 {
		t.Fatalf("found %d packages only: %v", len(list), list)
	}
	return list
}

// edges returns the imports of the module's packages; those of test files only
// if tests is set.
func edges(t *testing.T, tests bool) []edge {
	t.Helper()
	var list []edge
	for _, dir := range folders(t) {
		p, err := build.ImportDir(filepath.Join(root, dir), 0)
		if err != nil {
			// A folder may hold nothing but files for other platforms or tags.
			if _, none := err.(*build.NoGoError); none {
				continue
			}
			t.Fatalf("read %s: %v", dir, err)
		}
		imports := slices.Clone(p.Imports)
		if tests {
			imports = append(append(imports, p.TestImports...), p.XTestImports...)
		}
		for _, imp := range imports {
			if to, ok := strings.CutPrefix(imp, module+"/"); ok && to != dir {
				list = append(list, edge{dir, to})
			}
		}
	}
	return list
}

// room returns the nearest ancestor of dir, or dir itself, that is in the table.
func room(dir string) (name string, floor int, ok bool) {
	table := floors()
	for name = dir; name != "."; name = path.Dir(name) {
		if floor, ok = table[name]; ok {
			return name, floor, true
		}
	}
	return "", 0, false
}

func isHelper(dir string) bool {
	return slices.ContainsFunc(helpers(), func(h string) bool { return within(dir, h) })
}

// within reports whether dir is parent or lies below it.
func within(dir, parent string) bool { return dir == parent || strings.HasPrefix(dir, parent+"/") }

// violation says why the architecture does not allow an import; empty if it does.
func violation(e edge) string {
	if isHelper(e.from) {
		return ""
	}
	if isHelper(e.to) {
		// The demonstration and the simulator are made of helpers.
		if within(e.from, "cmd") {
			return ""
		}
		return "the server does not contain what is for tests and demonstrations"
	}
	fromRoom, fromFloor, ok := room(e.from)
	if !ok {
		return e.from + " is not in the table of floors"
	}
	toRoom, toFloor, ok := room(e.to)
	if !ok {
		return e.to + " is not in the table of floors"
	}
	if fromRoom == toRoom {
		if within(e.to, e.from) && e.to != e.from {
			return "a package never imports its sub-packages: they build on it"
		}
		return ""
	}
	if fromRoom == "configs" {
		return "configs imports no package of the product: app translates it into each package's Options"
	}
	if toFloor > fromFloor {
		return fmt.Sprintf("imports point down: %s is on floor %d, %s on floor %d; declare an interface in %s and let app connect the two",
			fromRoom, fromFloor, toRoom, toFloor, fromRoom)
	}
	for pair, why := range strangers() {
		if pair == [2]string{fromRoom, toRoom} || pair == [2]string{toRoom, fromRoom} {
			return "these never import each other: " + why
		}
	}
	if toRoom == "configs" && fromRoom != "internal/app" && fromRoom != "cmd" {
		return "only app and cmd read the configuration"
	}
	if toFloor == fromFloor && fromFloor != 0 {
		return fmt.Sprintf("both stand on floor %d; declare an interface in %s and let app connect the two", fromFloor, fromRoom)
	}
	return ""
}

func TestFloors_ImportsPointDown(t *testing.T) {
	for _, e := range edges(t, false) {
		if why := violation(e); why != "" {
			t.Errorf("%s imports %s: %s", e.from, e.to, why)
		}
	}
}

// TestFloors_Rules shows that the rule can fail, and how it says so.
func TestFloors_Rules(t *testing.T) {
	tests := []struct {
		from, to string
		allowed  bool
		says     string
	}{
		{"usrloc", "flow", true, ""},
		{"usrloc/disk", "usrloc", true, ""},
		{"usrloc", "usrloc/disk", false, "never imports its sub-packages"},
		{"push/apns", "push/fcm", true, ""},
		{"flow", "usrloc", false, "imports point down"},
		{"internal/event", "flow", true, ""},
		{"internal/transport", "internal/transaction", false, "declare an interface in internal/transport"},
		{"registrar", "internal/proxy", false, "never import each other"},
		{"internal/proxy", "registrar", false, "never import each other"},
		{"usrloc/redis", "push", false, "never import each other"},
		{"configs", "flow", false, "configs imports no package"},
		{"internal/admin", "configs", false, "never import each other"},
		{"internal/app", "configs", true, ""},
		{"internal/console", "configs", false, "only app and cmd"},
		{"internal/admin", "internal/console", false, "imports point down"},
		{"cmd/reveille", "configs", true, ""},
		{"cmd/reveille", "internal/phone", true, ""},
		{"internal/proxy", "internal/memnet", false, "does not contain"},
		{"test/e2e", "internal/app", true, ""},
		{"internal/stuff", "flow", false, "not in the table"},
		{"internal/auth", "internal/resolve", false, "both stand on floor 2"},
	}
	for _, tt := range tests {
		why := violation(edge{tt.from, tt.to})
		if (why == "") != tt.allowed || !strings.Contains(why, tt.says) {
			t.Errorf("violation(%s -> %s) = %q, want allowed %t, saying %q", tt.from, tt.to, why, tt.allowed, tt.says)
		}
	}
}

// TestFloors_EveryPackageHasOne keeps the table complete.
func TestFloors_EveryPackageHasOne(t *testing.T) {
	for _, dir := range folders(t) {
		if _, _, ok := room(dir); !ok && !isHelper(dir) {
			t.Errorf("%s stands on no floor: add it to the table here and in docs/architecture.md", dir)
		}
	}
}
