package activities

// All lists the kinds of stage. Adding one is one file and one line here.
func All() []Kind {
	return []Kind{
		ingest(), noise(), dedup(), merge(), importModel(),
		tokenizerKind(), pretrain(), finetune(), caption(), filter(),
		evaluate(), compare(), reportKind(), publishKind(),
		Noop(),
	}
}
