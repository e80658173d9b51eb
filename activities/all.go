package activities

// All lists the kinds of stage. Adding one is one file and one line here.
func All() []Kind {
	return []Kind{
		ingest(), noise(), dedup(), merge(), documents(), examples(), tokensKind(), importModel(),
		tokenizerKind(), pretrain(), finetune(), trainReplica(), average(), caption(), filter(),
		draw(), rollout(), rl(), evaluateTasks(), evaluateChoices(), winRate(), searchKind(),
		evaluate(), evaluateText(), scaling(), compare(), reportKind(), publishKind(),
		initModel(), sft(), rewardModel(), evaluatePreferences(), reference(), dpo(), distill(),
		Noop(),
	}
}
