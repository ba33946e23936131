"""The drawing side: stock diffusers pipelines whose steps are shared by everybody's requests. Start with `engine.api`."""
