package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"starplan/internal/metricset"
)

// dashboard is the part of Grafana's dashboard model that is used here.
type dashboard struct {
	UID           string      `json:"uid"`
	Title         string      `json:"title"`
	Description   string      `json:"description"`
	Tags          []string    `json:"tags"`
	SchemaVersion int         `json:"schemaVersion"`
	Editable      bool        `json:"editable"`
	Refresh       string      `json:"refresh"`
	Timezone      string      `json:"timezone"`
	GraphTooltip  int         `json:"graphTooltip"` // 1: a crosshair that all panels share.
	Time          timeRange   `json:"time"`
	Templating    variables   `json:"templating"`
	Annotations   annotations `json:"annotations"`
	Links         []link      `json:"links"`
	Panels        []panel     `json:"panels"`
}

type timeRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type variables struct {
	List []variable `json:"list"`
}

type variable struct {
	Name       string  `json:"name"`
	Label      string  `json:"label"`
	Type       string  `json:"type"`
	Query      string  `json:"query"`
	Definition string  `json:"definition,omitempty"`
	Datasource *source `json:"datasource,omitempty"`
	Refresh    int     `json:"refresh,omitempty"` // 2: whenever the time range changes.
	Sort       int     `json:"sort,omitempty"`
	Multi      bool    `json:"multi,omitempty"`
	IncludeAll bool    `json:"includeAll,omitempty"`
	AllValue   string  `json:"allValue,omitempty"`
	Current    current `json:"current"`
}

type current struct {
	Text  string `json:"text,omitempty"`
	Value string `json:"value,omitempty"`
}

type annotations struct {
	List []annotation `json:"list"`
}

type annotation struct {
	Name        string `json:"name"`
	Datasource  source `json:"datasource"`
	Enable      bool   `json:"enable"`
	Expr        string `json:"expr"`
	IconColor   string `json:"iconColor"`
	Step        string `json:"step"`
	TitleFormat string `json:"titleFormat"`
	TextFormat  string `json:"textFormat"`
}

type link struct {
	Title       string   `json:"title"`
	Type        string   `json:"type"`
	Tags        []string `json:"tags"`
	IncludeVars bool     `json:"includeVars"`
	KeepTime    bool     `json:"keepTime"`
}

type source struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

var prometheus = source{Type: "prometheus", UID: "${datasource}"}

type panel struct {
	ID          int            `json:"id"`
	Type        string         `json:"type"`
	Title       string         `json:"title"`
	Description string         `json:"description,omitempty"`
	GridPos     position       `json:"gridPos"`
	Datasource  *source        `json:"datasource,omitempty"`
	Targets     []target       `json:"targets,omitempty"`
	FieldConfig *fieldConfig   `json:"fieldConfig,omitempty"`
	Options     map[string]any `json:"options,omitempty"`
	Collapsed   bool           `json:"collapsed,omitempty"`
}

type position struct {
	H int `json:"h"`
	W int `json:"w"`
	X int `json:"x"`
	Y int `json:"y"`
}

type target struct {
	RefID        string `json:"refId"`
	Datasource   source `json:"datasource"`
	Expr         string `json:"expr"`
	LegendFormat string `json:"legendFormat"`
	Format       string `json:"format,omitempty"`
	Instant      bool   `json:"instant,omitempty"`
	Range        bool   `json:"range,omitempty"`
	Exemplar     bool   `json:"exemplar,omitempty"`
}

type fieldConfig struct {
	Defaults  defaults `json:"defaults"`
	Overrides []any    `json:"overrides"`
}

type defaults struct {
	Unit   string         `json:"unit,omitempty"`
	Min    *int           `json:"min,omitempty"`
	Custom map[string]any `json:"custom,omitempty"`
}

// The width of a dashboard, and the height of a panel, in Grafana's units.
const (
	width  = 24
	height = 8
)

// board makes one dashboard. Mistakes are collected and told at the end.
type board struct {
	dashboard
	set  metricset.Set
	errs []error
	x, y int
}

// line is one query of a panel.
type line struct {
	expr, legend string
	exemplar     bool
}

// row begins a row.
func (b *board) row(title string) {
	b.feed()
	b.Panels = append(b.Panels, panel{ID: len(b.Panels) + 1, Type: "row", Title: title, GridPos: position{H: 1, W: width, Y: b.y}})
	b.y++
}

// feed ends a line of panels.
func (b *board) feed() {
	if b.x > 0 {
		b.x, b.y = 0, b.y+height
	}
}

// add puts a panel at the next free place. What it shows is described by the
// metrics that it names.
func (b *board) add(p panel, w int, lines ...line) {
	if b.x+w > width {
		b.feed()
	}
	p.ID, p.Datasource = len(b.Panels)+1, &prometheus
	p.GridPos = position{H: height, W: w, X: b.x, Y: b.y}
	b.x += w
	for i, l := range lines {
		expr := strings.Join(strings.Fields(l.expr), " ")
		p.Targets = append(p.Targets, target{
			RefID: string(rune('A' + i)), Datasource: prometheus, Expr: expr, LegendFormat: l.legend, Exemplar: l.exemplar,
			Format: map[string]string{"heatmap": "heatmap", "table": "table"}[p.Type], Instant: p.Type == "table" || p.Type == "stat", Range: p.Type != "table" && p.Type != "stat",
		})
		b.describe(&p, expr)
	}
	b.Panels = append(b.Panels, p)
}

var (
	named    = regexp.MustCompile(`\b(?:starplan|go|process)_[a-z0-9_]+`)
	selector = regexp.MustCompile(`([a-z0-9_]+)\{([^}]*)\}`)
	matcher  = regexp.MustCompile(`([a-z_]+)=~?"`)
)

// describe checks the metrics of an expression against the set, and adds their
// meanings to the panel.
func (b *board) describe(p *panel, expr string) {
	for _, name := range named.FindAllString(expr, -1) {
		m, ok := b.set.Find(name)
		if !ok {
			b.errs = append(b.errs, fmt.Errorf("%s: %s: no service has %s", b.UID, p.Title, name))
			continue
		}
		if !strings.Contains(p.Description, m.Help) {
			p.Description = strings.TrimSpace(p.Description + "\n\n`" + m.Name + "`: " + m.Help)
		}
	}
	for _, s := range selector.FindAllStringSubmatch(expr, -1) {
		m, _ := b.set.Find(s[1])
		for _, label := range matcher.FindAllStringSubmatch(s[2], -1) {
			if label[1] != "job" && label[1] != "instance" && !m.Has(label[1]) {
				b.errs = append(b.errs, fmt.Errorf("%s: %s: %s has no label %s", b.UID, p.Title, s[1], label[1]))
			}
		}
	}
}

// series is a panel of lines over time. Values are at least 0.
func series(title, unit string) panel {
	zero := 0
	return panel{
		Type: "timeseries", Title: title,
		FieldConfig: &fieldConfig{Overrides: []any{}, Defaults: defaults{Unit: unit, Min: &zero, Custom: map[string]any{"fillOpacity": 10, "showPoints": "never"}}},
		Options: map[string]any{
			"legend":  map[string]any{"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": []string{"lastNotNull", "max"}},
			"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
		},
	}
}

// stacked is a panel of lines on top of each other.
func stacked(title, unit string) panel {
	p := series(title, unit)
	p.FieldConfig.Defaults.Custom["fillOpacity"] = 40
	p.FieldConfig.Defaults.Custom["stacking"] = map[string]any{"mode": "normal", "group": "A"}
	return p
}

// heatmap is a panel of a histogram over time.
func heatmap(title, unit string) panel {
	return panel{
		Type: "heatmap", Title: title,
		FieldConfig: &fieldConfig{Overrides: []any{}},
		Options: map[string]any{
			"calculate": false,
			"yAxis":     map[string]any{"unit": unit, "axisPlacement": "left"},
			"color":     map[string]any{"mode": "scheme", "scheme": "Spectral", "steps": 64},
			"cellGap":   1,
			"tooltip":   map[string]any{"mode": "single", "yHistogram": true},
			"exemplars": map[string]any{"color": "rgba(255,0,255,0.7)"},
		},
	}
}

// table is a panel of the newest values.
func table(title string) panel {
	return panel{
		Type: "table", Title: title, FieldConfig: &fieldConfig{Overrides: []any{}},
		Options: map[string]any{"showHeader": true},
	}
}

// json gives the dashboard's file.
func (b *board) json() ([]byte, error) {
	if err := errors.Join(b.errs...); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(b.dashboard, "", "  ")
	return append(text, '\n'), err
}
