"""What to ask a trained model: follow objects, forecast, imagine, score, look inside, intervene."""
