package app

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/configs"
	"reveille/internal/proxy"
	"reveille/registrar"
)

func TestOptions_Platform(t *testing.T) {
	cfg := configs.Default()
	cfg.Push.IOS.Background, cfg.Push.Farewell, cfg.Push.Payload.Caller = configs.NeverBackground, configs.FarewellBranch, configs.CallerName
	cfg.Push.TriggerIntervals = map[string]time.Duration{"FCM": 2 * time.Hour}
	cfg.Push.Mappings = []configs.Mapping{{
		UserAgent: "^Old", Contact: map[string]string{"token": "{token}", "transport": "tls"}, Provider: "fcm", Param: "p", PRID: "{token}",
	}}
	var o proxy.Options
	if err := waking(&o, cfg.Push); err != nil {
		t.Fatal(err)
	}
	if o.Farewell != proxy.FarewellBranch || o.CallerData != proxy.CallerName || o.PushIDHeader != "X-Push-ID" || cmp.Diff([]string{"token"}, o.PushParams) != "" {
		t.Errorf("options %d %d %q %q", o.Farewell, o.CallerData, o.PushIDHeader, o.PushParams)
	}
	if !wakeSettings(cfg.Push).NoBackground {
		t.Error("pushes in the background are sent")
	}
	p, err := registrarPolicy(cfg, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Push.NoBackground || p.Push.Leads["fcm"] != 2*time.Hour || len(p.Push.Mappings) != 1 || !p.Push.Mappings[0].UserAgent.MatchString("Old/1") {
		t.Errorf("policy %+v", p.Push)
	}
	if d := registrar.DefaultPolicy("example.com"); d.Push.NoBackground || d.Push.Leads != nil {
		t.Errorf("default policy %+v", d.Push)
	}
	cfg.Push.Mappings[0].PRID = "{other}"
	if err := Check(cfg); err == nil || !strings.Contains(err.Error(), "push.mappings[0]: no pattern finds {other}") {
		t.Errorf("Check = %v, want one that names the mapping", err)
	}
}
