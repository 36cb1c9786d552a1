"""The first run: nobody is here yet, and the console shows a code that makes the first admin."""

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from generations import accounts, dispatch
from generations.models import User
from generations.views.gate import origin

BACKEND = "django.contrib.auth.backends.ModelBackend"


class Newcomer(forms.Form):
    """Who makes their own account: with the code of the console, or by an invitation."""

    email = forms.EmailField(error_messages={"required": "Type your email address: you sign in with it."})
    name = forms.CharField(max_length=120, error_messages={"required": "Type the name your team knows you by."})
    password = forms.CharField(
        strip=False, max_length=1000, error_messages={"required": "Choose a password of at least 12 characters."}
    )

    def clean(self) -> None:
        password = self.cleaned_data.get("password")
        if not password:
            return
        person = User(email=self.cleaned_data.get("email", ""), name=self.cleaned_data.get("name", ""))
        try:
            validate_password(password, person)
        except ValidationError as weak:
            self.add_error("password", weak)


class FirstAdmin(Newcomer):
    code = forms.CharField(max_length=40, error_messages={"required": "Type the code that the console shows."})


@sensitive_post_parameters("code", "password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """Makes the first admin; once somebody exists it only leads on."""
    if User.objects.exists():
        return redirect("gallery" if request.user.is_authenticated else "account_login")
    form = FirstAdmin(request.POST or None)
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        try:
            user = accounts.make_first_admin(
                said["code"], said["email"], said["password"], said["name"], **origin(request)
            )
        except accounts.WrongCode as wrong:
            form.add_error("code", str(wrong))
        else:
            login(request, user, backend=BACKEND)
            return _next(request)
    demo = dispatch.demo_mode() and bool(settings.SIMULATOR_URL)
    return render(request, "welcome.html", {"form": form, "demo_mode": demo}, status=422 if form.is_bound else 200)


def _next(request: HttpRequest) -> HttpResponse:
    """To the gallery, whose empty state leads to the first clip; to the key first, when nothing works without one."""
    if not dispatch.demo_mode():
        messages.success(request, "You are the admin. Dailies is connected to Veevid.")
        return redirect("gallery")
    if not settings.SIMULATOR_URL:
        return redirect(reverse("settings") + "?welcome=1")
    messages.success(request, "You are the admin. Try anything: in demo mode nothing is charged.")
    return redirect("gallery")
