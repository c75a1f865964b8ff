package deploy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"reveille/configs"
)

const unitFile = "deploy/systemd/reveille.service"

// unit reads a file of systemd: the values of each key, by "Section.Key". A line
// that is neither a section, a comment nor a setting fails the test.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	settings, section := map[string][]string{}, ""
	for i, line := range strings.Split(read(t, unitFile), "\n") {
		switch {
		case line == "", strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			section = strings.Trim(line, "[]")
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok || section == "" {
				t.Fatalf("%s:%d: %q is no setting", unitFile, i+1, line)
			}
			settings[section+"."+key] = append(settings[section+"."+key], value)
		}
	}
	return settings
}

// TestUnit_Hardened: a server that strangers reach has no right that it does not
// need. `make package-check` has systemd itself look at the unit.
func TestUnit_Hardened(t *testing.T) {
	want := map[string][]string{
		"AmbientCapabilities":     {"CAP_NET_BIND_SERVICE"},
		"CapabilityBoundingSet":   {"CAP_NET_BIND_SERVICE"},
		"DevicePolicy":            {"closed"},
		"LimitCORE":               {"0"},
		"LockPersonality":         {"yes"},
		"MemoryDenyWriteExecute":  {"yes"},
		"NoNewPrivileges":         {"yes"},
		"PrivateDevices":          {"yes"},
		"PrivateTmp":              {"yes"},
		"ProtectClock":            {"yes"},
		"ProtectControlGroups":    {"yes"},
		"ProtectHome":             {"yes"},
		"ProtectHostname":         {"yes"},
		"ProtectKernelLogs":       {"yes"},
		"ProtectKernelModules":    {"yes"},
		"ProtectKernelTunables":   {"yes"},
		"ProtectProc":             {"invisible"},
		"ProtectSystem":           {"strict"},
		"RemoveIPC":               {"yes"},
		"RestrictAddressFamilies": {"AF_INET AF_INET6 AF_UNIX"},
		"RestrictNamespaces":      {"yes"},
		"RestrictRealtime":        {"yes"},
		"RestrictSUIDSGID":        {"yes"},
		"StateDirectoryMode":      {"0700"},
		"SystemCallArchitectures": {"native"},
		"SystemCallErrorNumber":   {"EPERM"},
		"SystemCallFilter":        {"@system-service", "~@privileged @resources"},
		"UMask":                   {"0077"},
		"User":                    {"reveille"},
	}
	settings := unit(t)
	for key, values := range want {
		if got := settings["Service."+key]; !slices.Equal(got, values) {
			t.Errorf("%s = %q, want %q", key, got, values)
		}
	}
}

// TestUnit_FitsTheServer: the times and exit codes are those of cmd/reveille.
func TestUnit_FitsTheServer(t *testing.T) {
	settings := unit(t)
	one := func(key string) string {
		t.Helper()
		values := settings[key]
		if len(values) != 1 {
			t.Fatalf("%s = %q, want one value", key, values)
		}
		return values[0]
	}
	for key, want := range map[string]string{
		// serve says when it is ready, reloads, stops and is alive.
		"Service.Type": "notify", "Service.WatchdogSec": "60",
		"Service.ExecReload": "/bin/kill -HUP $MAINPID",
		// exitUsage and exitInvalid.
		"Service.RestartPreventExitStatus": "2 3", "Service.Restart": "on-failure",
		"Install.WantedBy": "multi-user.target",
	} {
		if got := one(key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	// docs/operations.md: the end takes up to 15 s more than stop.drain.
	const end = 15 * time.Second
	stop, err := time.ParseDuration(one("Service.TimeoutStopSec") + "s")
	if err != nil {
		t.Fatal(err)
	}
	if drain := configs.Default().Stop.Drain; stop <= drain+end {
		t.Errorf("TimeoutStopSec = %s: killed while calls may go on for %s and %s to end", stop, drain, end)
	}
}
