"""Every page of Dailies. `views/` holds one module for each."""

from django.urls import path

from generations.views import compose, gallery, gate, generation, media, queue, settings, spend, team, welcome

urlpatterns = [
    path("", gallery.page, name="gallery"),
    path("healthz", gate.healthz, name="healthz"),
    path("theme", gate.choose_theme, name="theme"),
    path("welcome/", welcome.page, name="welcome"),
    path("new", compose.page, name="compose"),
    path("new/form", compose.form, name="compose_form"),
    path("new/price", compose.price, name="compose_price"),
    path("new/media", compose.add_media, name="compose_media"),
    path("new/review", compose.review, name="compose_review"),
    path("new/confirm", compose.confirm, name="compose_confirm"),
    path("g/<int:pk>", generation.page, name="generation"),
    path("g/<int:pk>/live", generation.live, name="generation_live"),
    path("g/<int:pk>/tile", gallery.tile, name="tile"),
    path("g/<int:pk>/fetch", generation.fetch_again, name="fetch_again"),
    path("g/<int:pk>/decide", generation.decide, name="decide"),
    path("g/<int:pk>/cancel", generation.cancel, name="cancel"),
    path("g/<int:pk>/video", media.video, name="video"),
    path("g/<int:pk>/download", media.download, name="download"),
    path("g/<int:pk>/poster", media.poster, name="poster"),
    path("g/<int:pk>/preview", media.preview, name="preview"),
    path("media/<uuid:key>", media.upload, name="upload"),
    path("media/<uuid:key>/poster", media.upload_poster, name="upload_poster"),
    path("queue", queue.page, name="queue"),
    path("queue/live", queue.live, name="queue_live"),
    path("spend", spend.page, name="spend"),
    path("team", team.page, name="team"),
    path("settings", settings.page, name="settings"),
    path("settings/keys", settings.add_key, name="add_key"),
    path("settings/keys/<int:pk>/test", settings.test_key, name="test_key"),
    path("settings/keys/<int:pk>/pause", settings.pause_key, name="pause_key"),
    path("settings/keys/<int:pk>/resume", settings.resume_key, name="resume_key"),
    path("settings/keys/<int:pk>/replace", settings.replace_key, name="replace_key"),
    path("settings/accounts/<int:pk>/pause", settings.pause_account, name="pause_account"),
    path("settings/accounts/<int:pk>/resume", settings.resume_account, name="resume_account"),
    path("settings/accounts/<int:pk>/share", settings.share_account, name="share_account"),
    path("settings/models", settings.switch_model, name="switch_model"),
]
