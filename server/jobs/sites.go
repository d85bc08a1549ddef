package jobs

import "context"

// SiteChanged tells that a site's settings were written. No job goes by them yet.
func (e *Engine) SiteChanged(context.Context, string) error { return nil }
